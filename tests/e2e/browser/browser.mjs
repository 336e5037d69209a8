// Shared by the browser checks: a headless Chromium that connects to 127.0.0.1 only.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { DEADLINE_MS, step } from "../node/bifrost.mjs";

const SCREENS = {
  phone: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
  desktop: { viewport: { width: 1280, height: 800 } },
};

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });
}

/** A page that records what it requests and what goes wrong in it. */
export async function newPage(browser, options = {}) {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(DEADLINE_MS);
  page.problems = [];
  page.requested = [];
  page.on("console", (message) => {
    console.log(`  console.${message.type()}: ${message.text()}`);
    if (message.type() === "error") page.problems.push(message.text());
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("request", (request) => page.requested.push(request.url()));
  return page;
}

/** Whether a problem is no more than a connection that failed while the server was down. */
export function isFailedConnect(problem) {
  return /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_SOCKET_NOT_CONNECTED/.test(problem);
}

/** Prepares a page on each screen in both colour schemes, checks that it fits, and keeps a picture. */
export async function checkAppearance(browser, name, prepare) {
  for (const [screen, options] of Object.entries(SCREENS)) {
    for (const colorScheme of ["light", "dark"]) {
      await step(`it fits a ${screen} screen, ${colorScheme}`, async () => {
        const page = await newPage(browser, { ...options, colorScheme });
        await prepare(page);
        await page.screenshot({ path: `${process.env.ARTEFACTS}/${name}-${screen}-${colorScheme}.png` });
        const width = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= options.viewport.width, `the page is ${width} wide`);
        assert.deepEqual(page.problems, []);
        await page.close();
      });
    }
  }
}

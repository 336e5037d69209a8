// `bifrost demo` in a browser: send an event, see it, survive a restart.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { DEADLINE_MS, Server, freePort, step } from "../node/bifrost.mjs";
import { checkAppearance, isFailedConnect, launch, newPage } from "./browser.mjs";

const state = (page, name) => page.waitForSelector(`#state[data-state="${name}"]`);

async function connected(page) {
  await state(page, "connected");
  await page.waitForSelector('#channels [data-channel="demo"]');
}

async function sendByForm(page, name, data) {
  await page.fill("#event-name", name);
  await page.fill("#event-data", data);
  await page.locator("#send").getByRole("button").click();
  await shown(page, name, data);
  await page.locator("#send-result", { hasText: /delivered/i }).waitFor();
}

/** Waits until the list of events has one of this name with this data in it. */
async function shown(page, name, data) {
  await page.locator(`#events [data-event="${name}"]`, { hasText: data }).first().waitFor();
}

/** Runs the curl command that the demo prints; returns the message in its token. */
async function runPrintedCurl() {
  const command = server.stdout.match(/curl (?:[^\n]*\\\n)*[^\n]*\/broadcast[^\n]*/)?.[0];
  assert.ok(command, `no curl command in ${server.stdout}`);
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { timeout: DEADLINE_MS });
  assert.equal(JSON.parse(stdout).message, "Success");
  const claims = command.match(/eyJ[\w-]*\.([\w-]+)\./)[1];
  return JSON.parse(Buffer.from(claims, "base64url")).message;
}

const demo = { command: "demo", port: await freePort(), env: {} };
const server = await Server.start(demo);
const browser = await launch();
const page = await newPage(browser);

await step("the page connects and names its channel", async () => {
  await page.goto(server.url);
  await connected(page);
});

await step("an event sent with the form arrives", () => sendByForm(page, "greeting", '{"text":"hello"}'));

await step("an event sent with the printed curl command arrives", async () => {
  const { event, data } = await runPrintedCurl();
  await shown(page, event, typeof data === "string" ? data : JSON.stringify(data));
});

await step("nothing went wrong until here", () => assert.deepEqual(page.problems, []));

await step("the page outlives a restart", async () => {
  assert.equal(await server.stop(), 0);
  await state(page, "reconnecting");
  await server.start(demo);
  await connected(page);
  await sendByForm(page, "after_restart", '{"text":"hello again"}');
  assert.deepEqual(page.problems.filter((problem) => !isFailedConnect(problem)), []);
});

await step("all that the page loads comes from the server itself", () => {
  const elsewhere = page.requested.filter((url) => new URL(url).host !== server.address);
  assert.deepEqual(elsewhere, []);
});

await checkAppearance(browser, "demo", async (page) => {
  await page.goto(server.url);
  await connected(page);
  await sendByForm(page, "new_item", '{"id":7,"name":"A name that is long enough to need a second line on a phone"}');
});

await browser.close();
await server.stop();

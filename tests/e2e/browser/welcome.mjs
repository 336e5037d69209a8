// The server's root page in a browser: it shows the current counts.

import assert from "node:assert/strict";
import { Server, Subscriber, freePort, step } from "../node/bifrost.mjs";
import { checkAppearance, isFailedConnect, launch, newPage } from "./browser.mjs";

const shows = (id, text) => page.locator(`#${id}`, { hasText: text }).waitFor();
const status = (page, name) => page.waitForSelector(`#status[data-status="${name}"]`);

const server = await Server.start({ port: await freePort() });
const browser = await launch();
const page = await newPage(browser);

await step("the page says that the server is up", async () => {
  await page.goto(server.url);
  await status(page, "up");
  await shows("deliveries", /^0$/);
});

await step("the numbers follow what happens", async () => {
  const alice = await Subscriber.open(server);
  await alice.subscribe(server, "global");
  await server.broadcast({ channel: "global", message: {} });
  await shows("connected", /^1$/);
  await shows("deliveries", /^1$/);
  alice.socket.terminate();
  await shows("connected", /^0$/);
  assert.deepEqual(page.problems, []);
});

await step("the page notices that the server is down, and up again", async () => {
  await server.stop();
  await status(page, "down");
  await server.start({ port: server.port });
  await status(page, "up");
  assert.deepEqual(page.problems.filter((problem) => !isFailedConnect(problem)), []);
});

await step("all that the page loads comes from the server itself", () => {
  const elsewhere = page.requested.filter((url) => new URL(url).host !== server.address);
  assert.deepEqual(elsewhere, []);
});

await checkAppearance(browser, "welcome", async (page) => {
  await page.goto(server.url);
  await status(page, "up");
});

await browser.close();
await server.stop();

// The introduction's browser client, unchanged (client.js), against a small
// application that gives tokens.

import assert from "node:assert/strict";
import { EventEmitter, on, once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Server, freePort, sign, step, within } from "../node/bifrost.mjs";
import { isFailedConnect, launch, newPage } from "./browser.mjs";

const CHANNELS = ["user:1", "global"];

const file = (path) => readFile(new URL(path, import.meta.url), "utf8");

/** The application: a page, the packages that it uses, and an endpoint that gives tokens. */
async function startApplication() {
  const page = `<!doctype html>
    <title>Application</title>
    <link rel="icon" href="data:,">
    <script>var process = { env: { BIFROST_WSS_URL: "ws://${server.address}" } };</script>
    <script src="/axios.js"></script>
    <script src="/reconnecting-websocket.js"></script>
    <script type="importmap">{ "imports": { "reconnectingwebsocket": "/module.js" } }</script>
    <script type="module" src="/client.js"></script>`;
  const client = await file("client.js");
  const routes = {
    "/": ["text/html", page],
    "/axios.js": ["text/javascript", await file("../node_modules/axios/dist/axios.min.js")],
    "/reconnecting-websocket.js": [
      "text/javascript",
      await file("../node_modules/reconnectingwebsocket/reconnecting-websocket.js"),
    ],
    "/module.js": ["text/javascript", "export default ReconnectingWebSocket;"],
    // The client pings every ten seconds, which is too long for a check.
    "/client.js": ["text/javascript", client.replace("10000", "200")],
    "/api/bifrost-token": [
      "application/json",
      () => JSON.stringify({ token: sign({ channels: CHANNELS }, server.secret) }),
    ],
  };
  const application = createServer((request, response) => {
    const [type, body] = routes[request.url] ?? ["text/plain", ""];
    response.writeHead(body ? 200 : 404, { "Content-Type": type });
    response.end(typeof body === "function" ? body() : body);
  }).listen(0, "127.0.0.1");
  await once(application, "listening");
  return application;
}

/** Waits for the next such line of a stream; what comes before it is passed over. */
async function until(lines, wanted) {
  for (;;) {
    const { value } = await within(lines.next(), wanted);
    if (value[0] === wanted) return;
  }
}

async function subscribedToBoth() {
  for (const channel of CHANNELS) {
    await until(received, `{"event":"subscribed","data":"{\\"channel\\":\\"${channel}\\"}"}`);
    await until(said, `Subscribed to channel ${channel}`);
  }
}

async function newItemArrives(item) {
  const message = { event: "new_item", data: JSON.stringify(item) };
  const { body } = await server.broadcast({ channel: "user:1", message });
  assert.equal(body.deliveries, 1);
  await until(received, JSON.stringify(message));
  await until(said, `new item! ${JSON.stringify(item)}`);
}

const server = await Server.start({ port: await freePort() });
const application = await startApplication();
const browser = await launch();
const page = await newPage(browser);

// What the client receives from the server, and what it logs.
const stream = new EventEmitter();
const received = on(stream, "received");
const said = on(stream, "said");
page.on("websocket", (socket) => {
  socket.on("framereceived", ({ payload }) => stream.emit("received", payload));
});
page.on("console", async (message) => {
  const parts = await Promise.all(message.args().map((part) => part.jsonValue()));
  stream.emit("said", parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" "));
});

await step("the client is subscribed to the channels of its token, in order", async () => {
  await page.goto(`http://127.0.0.1:${application.address().port}/`);
  await until(said, "WS Connected");
  await subscribedToBoth();
});

await step("its pings are answered", () => until(received, '{"event":"pong"}'));

await step("a broadcast reaches it", () => newItemArrives({ id: 7, name: "Wörld 💥" }));

await step("nothing went wrong until here", () => assert.deepEqual(page.problems, []));

await step("it comes back after a restart, and gets the next broadcast", async () => {
  assert.equal(await server.stop(), 0);
  await server.start({ port: server.port });
  await subscribedToBoth();
  await newItemArrives({ id: 8 });
  await until(received, '{"event":"pong"}');
  // What the client itself logs, and the browser when the client pings a socket that is closing.
  const expected = (problem) => isFailedConnect(problem) || /^WS Closed|already in CLOSING/.test(problem);
  assert.deepEqual(page.problems.filter((problem) => !expected(problem)), []);
});

await browser.close();
await server.stop();
application.close();

// The npm package `ws`, with its default options, as a subscriber.

import assert from "node:assert/strict";
import { once } from "node:events";
import { Server, Subscriber, step, within } from "./bifrost.mjs";

const MANY = 200;
// Text that parsing and writing the JSON again would change.
const MESSAGE = String.raw`{ "event":"new_item", "z":1,"a":-0.0,"n":1.50e+2,"data":"{\"id\":7}","e":"\u00e9\/","k":"é 💥" }`;

const server = await Server.start();

await step("permessage-deflate is offered and declined", async () => {
  const alice = await Subscriber.open(server);
  assert.equal(alice.socket.extensions, "");
  assert.equal(alice.socket.protocol, "");
  alice.socket.terminate();
});

await step("a message arrives as the application wrote it, on each channel in turn", async () => {
  const alice = await Subscriber.open(server);
  await alice.subscribe(server, "user:1", "global");
  for (const channel of ["global", "user:1"]) {
    const answer = await server.broadcast(`{"channel":"${channel}","message":${MESSAGE}}`);
    assert.deepEqual(answer, { status: 200, body: { message: "Success", deliveries: 1 } });
    assert.equal(await alice.next(), MESSAGE);
  }
  alice.socket.terminate();
});

await step("pings of both kinds are answered", async () => {
  const alice = await Subscriber.open(server);
  alice.send({ event: "ping" });
  assert.equal(await alice.next(), '{"event":"pong"}');
  alice.socket.ping("are you there");
  const [payload] = await within(once(alice.socket, "pong"), "pong");
  assert.equal(payload.toString(), "are you there");
  alice.socket.terminate();
});

await step("a token with a wrong signature ends the connection with 4001", async () => {
  const mallory = await Subscriber.open(server);
  mallory.send({ event: "authenticate", data: "eyJhbGciOiJIUzUxMiJ9.eyJjaGFubmVscyI6WyJnbG9iYWwiXX0.AAAA" });
  assert.deepEqual(await mallory.end(), { code: 4001, reason: "Not Authorized!" });
});

await step("a client that closes gets its code back", async () => {
  const alice = await Subscriber.open(server);
  alice.socket.close(1000);
  assert.equal((await alice.end()).code, 1000);
});

await server.stop();
await server.start();
const crowd = await step(`${MANY} connections opened at once are all subscribed`, () =>
  Promise.all(
    Array.from({ length: MANY }, async () => {
      const subscriber = await Subscriber.open(server);
      await subscriber.subscribe(server, "global");
      return subscriber;
    }),
  ),
);

await step("one broadcast reaches all of them", async () => {
  const answer = await server.broadcast(`{"channel":"global","message":${MESSAGE}}`);
  assert.deepEqual(answer, { status: 200, body: { message: "Success", deliveries: MANY } });
  for (const subscriber of crowd) assert.equal(await subscriber.next(), MESSAGE);
  const { stats } = await server.info();
  assert.equal(stats.deliveries, MANY);
  assert.equal(stats.connected, MANY);
});

await step("SIGTERM ends every connection with 1012, and the server with status 0", async () => {
  const status = server.stop();
  for (const subscriber of crowd) {
    assert.deepEqual(await subscriber.end(), { code: 1012, reason: "Service restart" });
  }
  assert.equal(await status, 0);
});

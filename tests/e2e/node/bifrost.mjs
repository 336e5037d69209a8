// Shared by the Node and browser checks: a server under test, a subscriber,
// tokens, deadlines. Every wait is for an event, and has a deadline.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { on, once } from "node:events";
import { mkdtempSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";

/** Longer than anything here takes on a slow machine: to reach it is a failure. */
export const DEADLINE_MS = 30_000;

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
process.on("SIGTERM", () => process.exit(1));

/** Announces a step, so that the output of a failed check says how far it came. */
export async function step(sentence, body) {
  console.log(`- ${sentence}`);
  return body();
}

export async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Signs claims; text is taken as it is, so that its bytes can be compared. */
export function sign(claims, secret) {
  const base64 = (text) => Buffer.from(text).toString("base64url");
  const text = typeof claims === "string" ? claims : JSON.stringify(claims);
  const signed = `${base64('{"alg":"HS512","typ":"JWT"}')}.${base64(text)}`;
  return `${signed}.${createHmac("sha512", secret).update(signed).digest("base64url")}`;
}

/** A port that was free a moment ago, for a server that must come back on the same one. */
export async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

export class Server {
  secret = randomBytes(48).toString("hex");
  stdout = "";
  #process;
  #exited;

  /** `bifrost serve`, unless told otherwise, on a free port. */
  static async start(options) {
    const server = new Server();
    await server.start(options);
    return server;
  }

  async start({ command = "serve", port = 0, env = { HOST: "127.0.0.1", JWT_SECRET: this.secret } } = {}) {
    this.#process = spawn(process.env.BIFROST, [command], {
      cwd: mkdtempSync(join(tmpdir(), "bifrost-")),
      env: { PATH: process.env.PATH, PORT: port, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.#process);
    this.#exited = once(this.#process, "exit");
    this.stdout = "";
    this.#process.stdout.on("data", (text) => (this.stdout += text));
    this.address = await within(this.#listening(), "log line with the server's address");
    this.url = `http://${this.address}`;
    this.port = new URL(this.url).port;
  }

  /** Passes the log on for as long as the server runs; resolves with the address in it. */
  #listening() {
    return new Promise((resolve, reject) => {
      let log = "";
      this.#process.stderr.on("data", (text) => {
        process.stderr.write(text);
        log += text;
        const found = log.match(/listening addr=(127\.0\.0\.1:\d+)\s/);
        if (found) resolve(found[1]);
      });
      this.#process.once("exit", (status) => reject(new Error(`the server ended at its start: ${status}`)));
    });
  }

  /** Asks the server to end; returns its exit status. */
  async stop() {
    this.#process.kill("SIGTERM");
    const [status] = await within(this.#exited, "end of the server");
    running.delete(this.#process);
    return status;
  }

  /** Posts signed claims; returns the answer's status and body. */
  async broadcast(claims, secret = this.secret) {
    const answer = await fetch(`${this.url}/broadcast`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: sign(claims, secret) }),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    return { status: answer.status, body: await answer.json() };
  }

  async info() {
    const answer = await fetch(`${this.url}/info.json`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    return answer.json();
  }
}

export class Subscriber {
  /** Opens a connection with the `ws` package's default options. */
  static async open(server) {
    const socket = new WebSocket(`ws://${server.address}/subscribe`);
    const subscriber = new Subscriber();
    subscriber.socket = socket;
    subscriber.messages = on(socket, "message");
    subscriber.closed = once(socket, "close").then(([code, reason]) => ({ code, reason: reason.toString() }));
    await within(once(socket, "open"), "open connection");
    return subscriber;
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  /** Shows a token and waits until each of its channels is confirmed, in order. */
  async subscribe(server, ...channels) {
    this.send({ event: "authenticate", data: sign({ channels }, server.secret) });
    for (const channel of channels) {
      const data = JSON.stringify({ channel });
      assert.equal(await this.next(), JSON.stringify({ event: "subscribed", data }));
    }
  }

  /** The next text message, as text. */
  async next() {
    const { value } = await within(this.messages.next(), "message");
    const [data, isBinary] = value;
    assert.equal(isBinary, false);
    return data.toString();
  }

  /** The close code and reason that the server gave. */
  async end() {
    return within(this.closed, "end of the connection");
  }
}

"""Restarts on a socket that stays, under broadcasts through proxies and without: none fails.

The check holds the listening socket, as systemd does. Two kinds of restart take
turns. In one, broadcasts come in a stream; half of the publishers open a
connection for each. In the other, each proxy keeps idle connections to the
server, and broadcasts come just when the server is about to give these up.
RESTARTS=100 makes it a stress test.
"""

import asyncio
import collections
import contextlib
import http.client
import itertools
import json
import os
import random
import secrets
import select
import signal
import socket
import sys
import threading
import time

import front as fronts
from bifrost import DEADLINE, running_server, sign
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

RESTARTS = int(os.environ.get("RESTARTS", "6"))
# Publishers of each proxy, in a restart of either kind.
STEADY, LATE = 4, 8
# Seconds between two broadcasts of one publisher, which leave the processor to the others.
PAUSE = 0.005
# Seconds for which a stopping server still answers on kept connections, and a margin around them.
GRACE, CLOSE = 1, 0.01
# Seconds between two polls, or two tries.
AGAIN = 0.02
# Broadcasts of each steady publisher before the restart, and again after it.
SOME = 20

SECRET = secrets.token_hex(48)
numbers = itertools.count(1)
counts, failures = collections.Counter(), []


class Direct:
    """The server without a proxy, and how clients reach it."""

    def __init__(self, host, port):
        self.host, self.port = host, port

    def __str__(self):
        return "direct"

    def open(self):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        connection.connect()
        return connection

    def subscribe(self):
        return connect(f"ws://{self.host}:{self.port}/subscribe", open_timeout=DEADLINE, proxy=None)


def post(connection):
    """Broadcasts the next number; returns whether the server closes the connection after it."""
    claims = f'{{"channel":"news","message":{{"n":{next(numbers)}}}}}'
    connection.request("POST", "/broadcast", json.dumps({"token": sign(claims, SECRET)}))
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)
    return answer.will_close


def is_closed(connection):
    return bool(select.select([connection.sock], [], [], 0)[0])


class Publisher(threading.Thread):
    """Broadcasts in a thread, and records failures."""

    def __init__(self, target, work):
        super().__init__(daemon=True)
        self.target, self.work, self.count = target, work, 0
        self.start()

    def run(self):
        try:
            self.work(self)
        except Exception as error:  # whatever it is, a broadcast failed
            failures.append(f"{self.target}: {self.work.__name__}: {error!r}")

    def post(self, connection):
        is_last = post(connection)
        self.count += 1
        counts[str(self.target)] += 1
        return is_last


def stream(over, keeps):
    def in_a_stream(publisher):
        connection = None
        while not over.is_set():
            # RFC 9112, 9.3.1 and 9.6: a client with kept connections has to do this.
            if connection is None or is_closed(connection):
                connection = publisher.target.open()
            if publisher.post(connection) or not keeps:
                connection.close()
                connection = None
            over.wait(PAUSE)

    return in_a_stream


async def eventually(is_so, what):
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert not failures, failures
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(AGAIN)


@contextlib.asynccontextmanager
async def restart_in_a_stream(server, targets):
    """Asserts that a restart happens within the block."""
    over = threading.Event()
    publishers = [Publisher(target, stream(over, number % 2)) for target in targets for number in range(STEADY)]

    async def go_on():
        goals = [(publisher, publisher.count + SOME) for publisher in publishers]
        await eventually(lambda: all(one.count >= goal for one, goal in goals), "the stream goes on")

    await go_on()
    yield
    await go_on()
    over.set()
    await join(publishers)


@contextlib.asynccontextmanager
async def restart_with_late_broadcasts(server, targets):
    """Asserts that a restart begins and ends with the block."""
    stopping = threading.Event()

    def when_kept_connections_end(publisher):
        publisher.post(publisher.target.open())
        connection = publisher.target.open()
        stopping.wait(DEADLINE)
        time.sleep(GRACE + random.uniform(-CLOSE, CLOSE))
        publisher.post(connection)

    # While the server is suspended, the proxies open a connection for each of these.
    server.process.send_signal(signal.SIGSTOP)
    proxies = [target for target in targets if not isinstance(target, Direct)]
    publishers = [Publisher(target, when_kept_connections_end) for target in proxies for _ in range(LATE)]
    await asyncio.sleep(10 * AGAIN)
    server.process.send_signal(signal.SIGCONT)
    await eventually(lambda: all(publisher.count for publisher in publishers), "kept connections")
    stopping.set()
    yield
    await join(publishers)
    assert failures or all(publisher.count == 2 for publisher in publishers)


async def join(publishers):
    for publisher in publishers:
        await asyncio.to_thread(publisher.join, DEADLINE)
        assert not publisher.is_alive(), f"{publisher.target}: no answer within {DEADLINE} s"


class Subscriber:
    """A subscriber that reconnects whenever the server restarts."""

    def __init__(self, target):
        self.target, self.seen, self.codes = target, collections.Counter(), []
        self.subscriptions = 0

    async def run(self):
        while True:
            try:
                await self.listen()
            except ConnectionClosed as closed:
                self.codes.append(closed.rcvd and closed.rcvd.code)
            except Exception as error:  # whatever it is, a subscriber was turned away
                failures.append(f"{self.target}: subscriber: {error!r}")
                return

    async def listen(self):
        async with self.target.subscribe() as connection:
            token = sign('{"channels":["news"]}', SECRET)
            await connection.send(json.dumps({"event": "authenticate", "data": token}))
            assert json.loads(await connection.recv())["event"] == "subscribed"
            self.subscriptions += 1
            while True:
                self.seen[json.loads(await connection.recv())["n"]] += 1


async def serve_again_and_again(listener, targets, subscribers):
    kinds = itertools.cycle([restart_in_a_stream, restart_with_late_broadcasts])
    with contextlib.ExitStack() as stack:
        start = lambda: stack.enter_context(running_server(listener, JWT_SECRET=SECRET))  # noqa: E731
        server = start()
        for number, kind in zip(range(1, RESTARTS + 1), kinds):
            await eventually(lambda: all(one.subscriptions == number for one in subscribers), "all subscribed")
            async with kind(server, targets):
                server.process.terminate()
                status = await asyncio.to_thread(server.process.wait, DEADLINE)
                assert status == 0, f"the server ended with status {status}"
                server = start()
        await eventually(lambda: all(one.subscriptions == RESTARTS + 1 for one in subscribers), "all subscribed")
        await everybody_gets_a_last_one(targets, subscribers)


async def everybody_gets_a_last_one(targets, subscribers):
    for target in targets:
        await asyncio.to_thread(post, target.open())
    last = next(numbers) - 1
    await eventually(lambda: all(one.seen[last] for one in subscribers), "the last broadcast everywhere")


def report(subscribers):
    for what, count in sorted(counts.items()):
        print(f"- {what}: {count}")
    for subscriber in subscribers:
        assert subscriber.codes == [1012] * RESTARTS, f"{subscriber.target}: {subscriber.codes}"
        assert max(subscriber.seen.values()) == 1, f"{subscriber.target}: a broadcast came twice"
    assert not failures, failures


async def main():
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        host, port = listener.getsockname()
        proxies = [stack.enter_context(fronts.running(*kind, f"{host}:{port}")) for kind in fronts.ALL]
        targets = [Direct(host, port), *proxies]
        subscribers = [Subscriber(target) for target in targets]
        tasks = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
        try:
            await serve_again_and_again(listener, targets, subscribers)
        finally:
            for task in tasks:
                task.cancel()
            print(f"{RESTARTS} restarts, {failures or 'no failures'}")
        report(subscribers)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no proxy is left
asyncio.run(main())

"""Subscribers and broadcasts through nginx and Caddy, each with TLS and without."""

import asyncio
import contextlib
import http.client
import itertools
import json
import signal
import socket
import sys
import tempfile

import front as fronts
from bifrost import DEADLINE, await_line, running_server, sign
from websockets.exceptions import ConnectionClosed, InvalidStatus

# proxy_read_timeout of nginx, where the manual has 60 s; the server pings six times as often.
READ_TIMEOUT = "3s"
PING_INTERVAL = "500ms"
# Seconds, twice the READ_TIMEOUT and more.
LONG = 7
MANY = 30
MIB = 1024 * 1024

# Numbers the subscribers, so that each has a client address of its own.
numbers = itertools.count(2)


def expect(actual, wanted):
    assert actual == wanted, f"{actual!r} is not {wanted!r}"


def new_client():
    return f"127.0.0.{next(numbers)}"


async def subscribed(server, connection, channel):
    token = sign(json.dumps({"channels": [channel]}), server.secret)
    await connection.send(json.dumps({"event": "authenticate", "data": token}))
    data = json.dumps({"channel": channel}, separators=(",", ":"))
    expect(json.loads(await connection.recv()), {"event": "subscribed", "data": data})


async def curl(front, *arguments):
    return await asyncio.to_thread(front.curl, *arguments)


async def broadcast(server, front, channel, message):
    token = sign(f'{{"channel":"{channel}","message":{message}}}', server.secret)
    return await curl(front, "/broadcast", "--data", f"token={token}")


async def a_broadcast_with_curl_reaches_a_subscriber(server, front):
    async with front.subscribe(new_client()) as alice:
        await subscribed(server, alice, "news")
        status, version, body = await broadcast(server, front, "news", '{"n": 1.50}')
        expect((status, json.loads(body)), (200, {"message": "Success", "deliveries": 1}))
        expect(version, "2" if front.scheme == "https" else "1.1")
        expect(await alice.recv(), '{"n": 1.50}')


async def a_close_code_gets_through(server, front):
    async with front.subscribe(new_client()) as mallory:
        await mallory.send('{"event":"authenticate","data":"no token"}')
        expect(await end(mallory), (4001, "Not Authorized!"))


async def end(connection):
    """The code and reason of the server's close frame; nothing if the connection ends without one."""
    try:
        message = await connection.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else None
    raise AssertionError(f"got {message!r}")


async def a_quiet_subscriber_outlives_the_time_limit_of_the_proxy(server, front):
    async with front.subscribe(new_client()) as alice:
        await subscribed(server, alice, "quiet")
        await asyncio.sleep(LONG)
        await broadcast(server, front, "quiet", '{"n":"late"}')
        expect(await alice.recv(), '{"n":"late"}')


async def refusals_get_through(server, front):
    status, _, body = await curl(front, "/broadcast", "--data", "token=x")
    expect((status, body), (400, '{"error":"Bad signature"}'))
    with tempfile.NamedTemporaryFile() as file:
        for size, wanted in [(MIB, 400), (MIB + 1, 413), (3 * MIB, 413)]:
            file.truncate(size)
            # More than once, as it would depend on who is faster if the proxy left it to the server.
            for version in ["--http2", "--http1.1"] * 4:
                status, _, _ = await curl(front, "/broadcast", version, "--data-binary", f"@{file.name}")
                expect((size, version, status), (size, version, wanted))


async def an_address_counts_for_itself_and_can_not_say_another(server, front):
    first, second = new_client(), new_client()
    async with front.subscribe(first) as alice, front.subscribe(second) as bob:
        await subscribed(server, alice, "news")
        await subscribed(server, bob, "news")
        for headers in [
            [],
            [("X-Forwarded-For", "192.0.2.1")],
            [("Forwarded", "for=192.0.2.1")],
            [("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.2")],
            [("X-Forwarded-For", "192.0.2.1, 127.0.0.1"), ("X-Forwarded-For", "192.0.2.2")],
            [("X-Real-IP", "192.0.2.1"), ("Connection", "X-Forwarded-For")],
        ]:
            status, body = await refusal(front, first, headers)
            expect((headers, status), (headers, 503))
            assert json.loads(body)["error"].startswith(f"{first} has 1 connections open"), body


async def refusal(front, client, headers):
    try:
        async with front.subscribe(client, headers):
            raise AssertionError(f"was let in with {headers}")
    except InvalidStatus as refused:
        return refused.response.status_code, refused.response.body


async def many_broadcasts_share_few_connections_to_the_server(server, front):
    def post():
        connection = front.open()
        token = sign('{"channel":"nobody","message":{}}', server.secret)
        connection.request("POST", "/broadcast", json.dumps({"token": token}))
        expect(connection.getresponse().status, 200)
        connection.close()

    before = await asyncio.to_thread(connections_so_far, server)
    for _ in range(MANY):
        await asyncio.to_thread(post)
    opened = await asyncio.to_thread(connections_so_far, server) - before - 1
    print(f"  {front}: {opened} connections for {MANY} broadcasts")
    assert opened < MANY / 2, f"{opened} connections for {MANY} broadcasts"


def connections_so_far(server):
    """How many connections the server has accepted, this request's included."""
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        return int(await_line(server.log, rf"connected conn=(\d+) peer=127\.0\.0\.1:{connection.getsockname()[1]}\b"))


STEPS = [
    a_broadcast_with_curl_reaches_a_subscriber,
    a_close_code_gets_through,
    refusals_get_through,
    an_address_counts_for_itself_and_can_not_say_another,
    many_broadcasts_share_few_connections_to_the_server,
    a_quiet_subscriber_outlives_the_time_limit_of_the_proxy,
]


async def check(kind):
    settings = {
        "BIFROST_TRUSTED_PROXIES": "127.0.0.1",
        "BIFROST_MAX_CONNECTIONS_PER_IP": "1",
        "BIFROST_PING_INTERVAL": PING_INTERVAL,
        "BIFROST_LOG": "debug",
    }
    with (
        running_server(**settings) as server,
        fronts.running(*kind, server.address, read_timeout=READ_TIMEOUT) as front,
    ):
        for step in STEPS:
            await asyncio.wait_for(step(server, front), DEADLINE)
            print(f"- {front}: {step.__name__.replace('_', ' ')}", flush=True)


async def without_pings_nginx_cuts_a_quiet_subscriber():
    """The read timeout cuts a silent connection; otherwise the checks above would prove nothing."""
    with (
        running_server(BIFROST_PING_INTERVAL="1h") as server,
        fronts.running("nginx", "http", server.address, read_timeout=READ_TIMEOUT) as front,
    ):
        async with front.subscribe() as alice:
            await subscribed(server, alice, "quiet")
            expect(await asyncio.wait_for(end(alice), DEADLINE), None)
    print("- without pings, nginx cuts a quiet subscriber", flush=True)


def what_a_client_says_of_addresses_is_not_passed_on(kind):
    """The proxy drops Forwarded, and appends the real address to X-Forwarded-For, whose last one counts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        host, port = server.getsockname()
        with fronts.running(*kind, f"{host}:{port}") as front, contextlib.closing(front.open()) as client:
            client.request("GET", "/", headers={"Forwarded": "for=192.0.2.1", "X-Forwarded-For": "192.0.2.2"})
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as received:
                received.readline()
                head = http.client.parse_headers(received)
    expect((head.get_all("Forwarded"), head["Host"].split(":")[0]), (None, fronts.NAME))
    expect(head["X-Forwarded-For"].split(", ")[-1], "127.0.0.1")
    print(f"- {front}: what a client says of addresses is not passed on", flush=True)


async def main():
    async with asyncio.TaskGroup() as group:
        for kind in fronts.ALL:
            group.create_task(check(kind))
            group.create_task(asyncio.to_thread(what_a_client_says_of_addresses_is_not_passed_on, kind))
        group.create_task(without_pings_nginx_cuts_a_quiet_subscriber())


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no proxy is left
asyncio.run(main())

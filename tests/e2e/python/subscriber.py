"""The Python package `websockets`, with its default options, as a subscriber."""

import asyncio
import json
import urllib.request

from bifrost import DEADLINE, running_server, sign
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

# Text that parsing and writing the JSON again would change.
MESSAGE = r'{ "event":"new_item", "z":1,"a":-0.0,"n":1.50e+2,"data":"{\"id\":7}","e":"\u00e9\/","k":"é 💥" }'


def broadcast(server, claims):
    body = json.dumps({"token": sign(claims, server.secret)}).encode()
    request = urllib.request.Request(f"http://{server.address}/broadcast", body)
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return json.load(answer)


def expect(actual, wanted):
    assert actual == wanted, f"{actual!r} is not {wanted!r}"


async def authenticate(alice, token):
    await alice.send(json.dumps({"event": "authenticate", "data": token}))


async def permessage_deflate_is_offered_and_declined(server, alice):
    assert "permessage-deflate" in alice.request.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in alice.response.headers
    expect(alice.protocol.extensions, [])


async def a_message_arrives_as_the_application_wrote_it(server, alice):
    await authenticate(alice, sign('{"channels":["user:1","global"]}', server.secret))
    expect(await alice.recv(), r'{"event":"subscribed","data":"{\"channel\":\"user:1\"}"}')
    expect(await alice.recv(), r'{"event":"subscribed","data":"{\"channel\":\"global\"}"}')
    claims = f'{{"channel":"global","message":{MESSAGE}}}'
    answer = await asyncio.to_thread(broadcast, server, claims)
    expect(answer, {"message": "Success", "deliveries": 1})
    fragments = [fragment async for fragment in alice.recv_streaming(decode=False)]
    expect(fragments, [MESSAGE.encode()])


async def pings_of_both_kinds_are_answered(server, alice):
    await alice.send('{"event":"ping"}')
    expect(await alice.recv(), '{"event":"pong"}')
    await (await alice.ping("are you there"))


async def a_wrong_token_ends_the_connection(server, mallory):
    await authenticate(mallory, sign('{"channels":["global"]}', "another secret" * 8))
    try:
        message = await mallory.recv()
    except ConnectionClosed as closed:
        expect((closed.rcvd.code, closed.rcvd.reason), (4001, "Not Authorized!"))
    else:
        raise AssertionError(f"got {message!r}")


async def a_client_that_closes_gets_its_code_back(server, alice):
    await alice.close(1000)
    expect(alice.protocol.close_rcvd.code, 1000)


async def main():
    steps = [
        permessage_deflate_is_offered_and_declined,
        a_message_arrives_as_the_application_wrote_it,
        pings_of_both_kinds_are_answered,
        a_wrong_token_ends_the_connection,
        a_client_that_closes_gets_its_code_back,
    ]
    with running_server() as server:
        for step in steps:
            print("-", step.__name__.replace("_", " "), flush=True)
            async with connect(f"ws://{server.address}/subscribe") as connection:
                await asyncio.wait_for(step(server, connection), DEADLINE)


asyncio.run(main())

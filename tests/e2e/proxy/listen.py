"""A subscriber through a proxy on port 443: prints each message as a line, and the close code.

    listen.py CERTIFICATE SECRET CHANNEL
"""

import asyncio
import json
import sys

from front import Front
from bifrost import sign
from websockets.exceptions import ConnectionClosed

certificate, secret, channel = sys.argv[1:]


async def main():
    async with Front("caddy", "https", 443, certificate).subscribe() as connection:
        token = sign(json.dumps({"channels": [channel]}), secret)
        await connection.send(json.dumps({"event": "authenticate", "data": token}))
        assert json.loads(await connection.recv())["event"] == "subscribed"
        print("subscribed", flush=True)
        try:
            while True:
                print(await connection.recv(), flush=True)
        except ConnectionClosed as closed:
            print(closed.rcvd and closed.rcvd.code, flush=True)


asyncio.run(main())

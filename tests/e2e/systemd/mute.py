"""A subscriber that authenticates, prints each message, and never answers a close.

    mute.py ADDRESS TOKEN
"""

import json
import socket
import struct
import sys

address, token = sys.argv[1:]
host, port = address.split(":")
stream = socket.create_connection((host, int(port)))
stream.sendall(
    f"GET /subscribe HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
)
payload = json.dumps({"event": "authenticate", "data": token}).encode()
stream.sendall(b"\x81" + bytes([0x80 | 126]) + struct.pack("!H", len(payload)) + bytes(4) + payload)
while received := stream.recv(4096):
    print(received, flush=True)

"""What the Python checks share: a server under test, and tokens."""

import base64
import hashlib
import hmac
import os
import queue
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from types import SimpleNamespace

# Longer than anything here takes on a slow machine: to reach it is a failure.
DEADLINE = 30


def sign(claims, secret):
    """Signs claims given as JSON text, so that its bytes can be compared."""

    def base64url(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = base64url(b'{"alg":"HS512","typ":"JWT"}') + b"." + base64url(claims.encode())
    signature = hmac.digest(secret.encode(), signed, hashlib.sha512)
    return (signed + b"." + base64url(signature)).decode()


@contextmanager
def running_server():
    """`bifrost serve` on a free port, for the length of a `with` block."""
    secret = secrets.token_hex(48)
    settings = {"HOST": "127.0.0.1", "PORT": "0", "JWT_SECRET": secret}
    command = [os.environ["BIFROST"], "serve"]
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(command, cwd=directory, env=settings, stderr=subprocess.PIPE, text=True) as process,
    ):
        log = queue.Queue()
        threading.Thread(target=follow, args=[process.stderr, log]).start()
        try:
            yield SimpleNamespace(address=address_in(log), secret=secret)
        finally:
            process.kill()


def follow(stderr, log):
    """Passes the server's log on for as long as it runs."""
    for line in stderr:
        sys.stderr.write(line)
        log.put(line)
    log.put("")


def address_in(log):
    while line := log.get(timeout=DEADLINE):
        if match := re.search(r"listening addr=(\S+)", line):
            return match[1]
    raise RuntimeError("the server ended at its start")

"""Shared by the Python checks: a server under test, and tokens."""

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

# Seconds that no single wait may last; far more than a slow machine needs.
DEADLINE = 30


def sign(claims, secret):
    """Signs claims given as JSON text, so that its bytes can be compared."""

    def base64url(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = base64url(b'{"alg":"HS512","typ":"JWT"}') + b"." + base64url(claims.encode())
    signature = hmac.digest(secret.encode(), signed, hashlib.sha512)
    return (signed + b"." + base64url(signature)).decode()


@contextmanager
def running_server(socket=None, **settings):
    """Runs `bifrost serve` during a `with` block, on a free port or on an inherited socket."""
    settings = {"HOST": "127.0.0.1", "PORT": "0", "JWT_SECRET": secrets.token_hex(48)} | settings
    command, handed_over = [os.environ["BIFROST"], "serve"], []
    if socket:
        handed_over = [socket.fileno()]
        # systemd passes the socket as descriptor 3.
        start = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&"$0"'
        command = ["bash", "-c", start, str(socket.fileno()), *command]
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            command, cwd=directory, env=settings, pass_fds=handed_over, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        log = queue.Queue()
        threading.Thread(target=follow, args=[process.stderr, log]).start()
        try:
            address = await_line(log, r"listening addr=(\S+)")
            yield SimpleNamespace(address=address, secret=settings["JWT_SECRET"], process=process, log=log)
        finally:
            process.kill()


def follow(stderr, log):
    """Copies the server's log to stderr until it ends."""
    for line in stderr:
        sys.stderr.write(line)
        log.put(line)
    log.put("")


def await_line(log, pattern):
    """The group of the pattern in the next line of the log that matches."""
    while line := log.get(timeout=DEADLINE):
        if match := re.search(pattern, line):
            return match[1]
    raise RuntimeError(f"the server ended before it logged {pattern!r}")

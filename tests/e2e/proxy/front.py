"""nginx and Caddy in front of a server, configured as the manual says.

What runs is src/dist/proxy/, which the manual quotes, with other ports and the
path of a certificate put in. Each proxy has a folder of its own and runs in the
foreground: nothing of the machine's own nginx or Caddy is read or touched.
"""

import http.client
import os
import pathlib
import pwd
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "python"))

from bifrost import DEADLINE  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402

CONFIGURATIONS = HERE.parents[2] / "src/dist/proxy"
NAME = "bifrost.example.com"
# Each proxy, with TLS and without.
ALL = [("nginx", "https"), ("nginx", "http"), ("caddy", "https"), ("caddy", "http")]


@dataclass
class Front:
    """A running proxy, and how clients reach it."""

    proxy: str
    scheme: str
    port: int
    certificate: pathlib.Path

    def __str__(self):
        return f"{self.proxy}, {self.scheme}"

    @property
    def tls(self):
        return ssl.create_default_context(cafile=self.certificate) if self.scheme == "https" else None

    def curl(self, path, *arguments):
        """Asks with curl; returns the status, the HTTP version and the body.

        Its exit status is not looked at: over HTTP/2 it may find an answer cut
        short that comes before it has sent all of a body.
        """
        command = [
            *("curl", "--silent", "--show-error", "--max-time", str(DEADLINE), "--http2"),
            *("--resolve", f"{NAME}:{self.port}:127.0.0.1", "--cacert", self.certificate),
            *("--write-out", "\n%{http_code} %{http_version}", *arguments),
            f"{self.scheme}://{NAME}:{self.port}{path}",
        ]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
        body, _, end = output.rpartition("\n")
        status, version = end.split()
        return int(status), version, body

    def open(self):
        """A connection for HTTP."""
        connection = http.client.HTTPConnection(NAME, self.port, timeout=DEADLINE)
        connection.sock = socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls := self.tls:
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=NAME)
        return connection

    def subscribe(self, client="127.0.0.1", headers=()):
        """A WebSocket with this client address, which sends no pings of its own."""
        uri = f"{self.scheme.replace('http', 'ws')}://{NAME}:{self.port}/subscribe"
        return connect(
            uri,
            additional_headers=headers,
            ping_interval=None,
            open_timeout=DEADLINE,
            proxy=None,
            ssl=self.tls,
            host="127.0.0.1",
            port=self.port,
            local_addr=(client, 0),
        )


@contextmanager
def running(proxy, scheme, upstream, **limits):
    """Runs a proxy in front of `upstream` during a `with` block."""
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        front = Front(proxy, scheme, free_port(), make_certificate(home))
        command = {"nginx": nginx, "caddy": caddy}[proxy](front, home, upstream, **limits)
        environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "HOME": directory}
        with subprocess.Popen(command, cwd=home, env=environment) as process:
            try:
                await_port(front.port, process)
                yield front
            finally:
                process.terminate()


def nginx(front, home, upstream, read_timeout="60s"):
    tls = front.scheme == "https"
    site = substitute(
        (CONFIGURATIONS / "nginx.conf").read_text(),
        ("server 127.0.0.1:3000;", f"server {upstream};"),
        ("http://127.0.0.1:3000;", f"http://{upstream};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{front.port}{' ssl http2' * tls};"),
        ("/etc/letsencrypt/live/bifrost.example.com/fullchain.pem", str(front.certificate)),
        ("/etc/letsencrypt/live/bifrost.example.com/privkey.pem", str(home / "key.pem")),
        ("proxy_read_timeout 60s;", f"proxy_read_timeout {read_timeout};"),
    )
    folders = "".join(
        f"{name}_temp_path {home / name};\n" for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    user = f"user {pwd.getpwuid(0).pw_name} root;\n" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"{user}daemon off;\npid {home}/pid;\nworker_processes 2;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{site}}}\n"
    )
    return ["nginx", "-p", home, "-e", "stderr", "-c", home / "nginx.conf"]


def caddy(front, home, upstream, read_timeout=None):
    del read_timeout  # it has none for WebSockets
    own = f"{front.scheme}://{NAME}:{front.port} {{\n\tbind 127.0.0.1\n"
    if front.scheme == "https":
        own += f"\ttls {front.certificate} {home / 'key.pem'}\n"
    site = substitute(
        (CONFIGURATIONS / "Caddyfile").read_text(),
        ("127.0.0.1:3000", upstream),
        ("bifrost.example.com {\n", own),
    )
    (home / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", home / "Caddyfile"]


def substitute(text, *pairs):
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def make_certificate(home):
    certificate = home / "certificate.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"),
        *("-keyout", home / "key.pem", "-out", certificate),
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return certificate


def free_port():
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def await_port(port, process):
    deadline = time.monotonic() + DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise RuntimeError(f"the proxy does not listen on port {port}; status {process.poll()}")

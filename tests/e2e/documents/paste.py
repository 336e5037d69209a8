"""Pastes the commands of README.md and the manual into a shell, as a reader does.

Every block of shell commands runs unless LEFT_OUT says why it does not, so that a new one is
tried without being listed anywhere. A document is read from its top to its end in one terminal:
what an earlier block set or started is there for a later one. The shell stops at the first
command that fails. Only the ports are changed, for free ones.

    paste.py [FOLDER]    # the folder with README.md and src/manual, if it is not this repository
"""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

# Longer than any block takes on a slow machine: to reach it is a failure.
DEADLINE = 60
REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
LANGUAGES = {"sh", "bash", "shell", "console"}

# Blocks that are not pasted, each with the reason. Named by document and heading, and from the
# second block under a heading on also by number.
LEFT_OUT = {
    "README.md: Bifrost": "builds everything",
    "README.md: Quick start": "builds everything",
    "benchmarks.md: Repeat it": "takes an hour",
    "deploying.md: On a VPS in five minutes": "needs root; proxy/vps.sh pastes it",
    "deploying.md: On a VPS in five minutes, block 2": "needs root; proxy/vps.sh pastes it",
    "deploying.md: From the archive": "needs root; release/archive.sh installs it",
    "deploying.md: From a checkout": "needs root; release/archive.sh installs it",
    "deploying.md: systemd units": "needs systemd; systemd/service.sh uses the units",
    "deploying.md: In a container": "needs docker",
    "operating.md: Reload": "needs systemd and docker",
    "operating.md: Command line tools, block 2": "shows a token that is refused",
    "operating.md: With systemd": "needs root and systemd",
    "operating.md: With systemd, block 2": "needs root and systemd",
    "operating.md: With systemd, block 3": "needs root and systemd",
    "operating.md: In a container": "needs docker",
    "operating.md: In a container, block 2": "needs docker",
    "operating.md: In a container, block 3": "needs docker",
}

# Commands that go on, for which a reader opens another terminal; and what each prints once it is
# ready, or nothing if that can't be seen.
LONG_RUNNING = {
    "bifrost": "listening addr=",
    "BIFROST_METRICS_ADDR=127.0.0.1:9464 bifrost": " listening addr=",
    "bifrost listen user:1": "listening to user:1",
    "bifrost listen user:1 news": "listening to user:1, news",
    "bifrost listen news --count 1": "listening to news",
    "tail -f app.log | bifrost broadcast log --event line --lines": "",
}

# What is printed after a block was pasted, by that or by what an earlier block left running.
PRINTED = {
    "README.md: A server with a secret of its own": ["listening addr="],
    "README.md: A server with a secret of its own, block 3": ['"deliveries":1', '"new_item"'],
    "README.md: 3. Broadcast from the server": ['"deliveries":1'],
    "README.md: Command line": ["JWT_ALGORITHM"],
    "README.md: Command line, block 2": ["publish"],
    "applications.md: A publisher token for a script, block 2": ['"deliveries":0'],
    "applications.md: A token that is one message": ['"deliveries":0'],
    "applications.md: Signing with openssl alone": ['"deliveries":0'],
    "operating.md: Command line tools": ['"headline"', '"new_item"', '"uptime"'],
    "operating.md: A server of your own": ["listening addr="],
    "operating.md: A server of your own, block 2": ["reloaded JWT_SECRET=changed"],
    "operating.md: A server of your own, block 3": ["reloaded JWT_SECRET_PREVIOUS=changed"],
    "operating.md: Metrics and Prometheus": ["bifrost_deliveries_total"],
}

# Blocks before which everything that runs is ended, and a new folder begins: each starts a server.
BEGINNINGS = {"operating.md: A server of your own", "operating.md: Metrics and Prometheus"}

# Blocks, or whole documents, for which a server has to run already or a secret to be there.
NEED_SERVER = {"applications.md"}
NEED_SECRET = {"operating.md: Metrics and Prometheus"}

# What a document takes for granted.
FILES = {"report.txt": "A report.\n", "app.log": "A line.\n"}

# Run before the blocks: curl fails on an error status, and the static binary is built already.
PREPARATION = """
set -euo pipefail
trap 'echo "exit status $?" >&"$DONE"' EXIT
curl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }
make() { [[ $* == static ]] && mkdir -p target/static && cp "$BIFROST" target/static/bifrost; }
"""


@dataclass
class Block:
    """Commands of a document, and the name that the tables above have for them."""

    name: str
    lines: list


class Terminal:
    """A shell that blocks are pasted into, in a folder of its own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name, text in FILES.items():
            (self.folder / name).write_text(text)
        self.ports = {"3000": free_port(), "9464": free_port()}
        self.output = self.folder / ".output"
        self.done, done = os.pipe()
        binaries = self.folder / ".bin"
        binaries.mkdir()
        (binaries / "bifrost").symlink_to(os.environ["BIFROST"])
        environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(folder),
            "BIFROST": os.environ["BIFROST"],
            "HOST": "127.0.0.1",
            "PORT": self.ports["3000"],
            "BIFROST_URL": f"http://127.0.0.1:{self.ports['3000']}",
            "DONE": str(done),
        }
        with open(self.output, "wb") as output:
            self.shell = subprocess.Popen(
                ["bash"],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[done],
                start_new_session=True,
            )
        os.close(done)
        self.run(PREPARATION)

    def run(self, commands):
        """Runs commands to their end; fails if one of them does."""
        for port, free in self.ports.items():
            commands = re.sub(rf"\b(localhost|127\.0\.0\.1):{port}\b", rf"127.0.0.1:{free}", commands)
        path = self.folder / ".commands"
        path.write_text(commands)
        self.shell.stdin.write(b'eval "$(cat .commands)" </dev/null; echo over >&"$DONE"\n')
        self.shell.stdin.flush()
        ready, _, _ = select.select([self.done], [], [], DEADLINE)
        told = os.read(self.done, 100).decode().strip() if ready else f"not over after {DEADLINE} s"
        if told != "over":
            fail(f"{told}\n{commands}\n--- output\n{self.printed()}")

    def start(self, command, ready):
        """Runs a command that goes on, and waits for what it prints when it is ready."""
        before = len(self.printed())
        self.run(command + " &")
        self.wait_for(ready, before)

    def wait_for(self, text, since):
        deadline = time.monotonic() + DEADLINE
        while text not in self.printed()[since:]:
            if time.monotonic() > deadline:
                fail(f"{text!r} is not printed\n--- output\n{self.printed()}")
            time.sleep(0.02)

    def printed(self):
        return self.output.read_text(errors="replace")

    def paste(self, block):
        before = len(self.printed())
        waiting = []
        for line in block.lines:
            command = re.sub(r"\s+#.*", "", line).strip()
            if command in LONG_RUNNING:
                self.run("\n".join(waiting))
                self.start(command, LONG_RUNNING[command])
                waiting = []
            else:
                waiting.append(line)
        self.run("\n".join(waiting))
        for text in PRINTED.get(block.name, []):
            self.wait_for(text, before)

    def close(self):
        """Ends the shell and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.shell.pid, number)
                self.shell.wait(DEADLINE if number == signal.SIGKILL else 2)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        os.close(self.done)
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def fail(text):
    sys.exit(text)


def blocks_of(path):
    """The blocks of shell commands of a document, in order."""
    blocks, heading, counts, lines, language = [], "", {}, [], None
    for line in path.read_text().splitlines():
        fence = re.match(r"```(.*)", line)
        if language is None and fence:
            language, lines = fence[1].strip(), []
        elif language is None and re.match(r"#+ ", line):
            heading = line.lstrip("# ")
        elif fence:
            if language in LANGUAGES:
                counts[heading] = count = counts.get(heading, 0) + 1
                number = f", block {count}" if count > 1 else ""
                blocks.append(Block(f"{path.name}: {heading}{number}", commands_of(lines)))
            language = None
        elif language is not None:
            lines.append(line)
    return blocks


def commands_of(lines):
    """A transcript with prompts has its commands behind them; everything else is commands."""
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    return prompted or lines


def check_tables(blocks):
    """Fails if a table names what no document has, or what is not pasted."""
    names = {block.name for block in blocks}
    pasted = [block for block in blocks if block.name not in LEFT_OUT]
    commands = {re.sub(r"\s+#.*", "", line).strip() for block in pasted for line in block.lines}
    documents = {name.split(":")[0] for name in names}
    unknown = [name for name in LEFT_OUT if name not in names]
    expected = [*PRINTED, *BEGINNINGS, *NEED_SERVER, *NEED_SECRET]
    unknown += [name for name in expected if name not in {*(block.name for block in pasted), *documents}]
    unknown += [command for command in LONG_RUNNING if command not in commands]
    if unknown:
        fail("the tables in paste.py name what no pasted block is:\n" + "\n".join(unknown))


def paste_document(blocks):
    terminal = None
    try:
        for block in blocks:
            if terminal is None or block.name in BEGINNINGS:
                if terminal:
                    terminal.close()
                terminal = Terminal(tempfile.mkdtemp(prefix="document-"))
                prepare(terminal, block.name)
            print("-", block.name, flush=True)
            terminal.paste(block)
    finally:
        if terminal:
            terminal.close()


def prepare(terminal, name):
    document = name.split(":")[0]
    if {name, document} & (NEED_SERVER | NEED_SECRET):
        terminal.run('echo "JWT_SECRET=$(bifrost secret)" >.env')
    if {name, document} & NEED_SERVER:
        terminal.start("bifrost", LONG_RUNNING["bifrost"])


def main():
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY
    paths = [root / "README.md", *sorted((root / "src/manual").glob("*.md"))]
    documents = [blocks_of(path) for path in paths]
    check_tables([block for blocks in documents for block in blocks])
    for blocks in documents:
        paste_document([block for block in blocks if block.name not in LEFT_OUT])


main()

"""What the benches written in Python share."""

import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    """One that a cluster node can have: its bus takes the port 10,000 above."""
    while True:
        with socket.socket() as held, socket.socket() as bus:
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
            if port > 50_000:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def cli(port, *words, check=True):
    command = ["redis-cli", "-p", str(port), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=check).stdout


def until(wanted, seconds=60):
    end = time.monotonic() + seconds
    while not wanted():
        if time.monotonic() > end:
            raise TimeoutError(wanted)
        time.sleep(0.05)


def answers(port):
    """Waits until a server answers."""
    until(lambda: "PONG" in cli(port, "PING", check=False))


def cpu(pid):
    """CPU seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def encode(*words):
    """A command as it is sent."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def option(name, default):
    """What follows this word of the command line."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def write(page, name, lines):
    """Puts lines between the markers of this name in a page of docs/, if `--write` was said."""
    if "--write" not in sys.argv:
        return
    begin, end = (f"<!-- {name}: {side} -->" for side in ("begin", "end"))
    file = ROOT / "docs" / page
    text = file.read_text()
    before, after = text.split(begin)[0], text.split(end)[1]
    file.write_text(before + "\n".join([begin, *lines, end]) + after)

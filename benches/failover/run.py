"""How long clients of Respite wait for the next master when sentinels fail over.

    python3 benches/failover/run.py RESPITE [--rounds N] [--write]

Starts a master, a replica and three sentinels on loopback, and Respite in front. Clients write all the time, each a
key of its own. The master is given up by command, killed (SIGKILL) or stopped (SIGSTOP). The switch is the moment when
two of the three sentinels name the replica. `--write` puts the table into docs/reliability.md.
"""

import asyncio
import collections
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from shared import encode, free_port, option, write  # noqa: E402

CLIENTS = 50
PAUSE = 0.01
DOWN_AFTER_MS = 2000
# Pauses that begin later have other reasons.
AROUND = 0.2
KINDS = {"SENTINEL FAILOVER": "command", "master killed": "kill", "master stopped": "stop"}


class Connection:
    """One connection that speaks RESP2."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port):
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def call(self, *words):
        self.writer.write(encode(*words))
        return await self.read()

    async def read(self):
        line = await self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            return RuntimeError(text)
        if kind in b"+:":
            return text
        if int(text) < 0:
            return None
        if kind == b"$":
            return (await self.reader.readexactly(int(text) + 2))[:-2].decode()
        return [await self.read() for _ in range(int(text))]

    def close(self):
        self.writer.close()


async def until(wanted, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if await wanted():
                return
        except (OSError, ConnectionError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.05)
    raise TimeoutError(wanted)


class World:
    """The servers, the sentinels and Respite."""

    def __init__(self, respite):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="respite-failover-"))
        self.processes = []
        self.ports = [free_port(), free_port()]
        self.servers = [self.server(0), self.server(1, "--replicaof", "127.0.0.1", self.ports[0])]
        self.sentinels = [self.sentinel(n) for n in range(3)]
        self.port = free_port()
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        upstream = f"sentinel://{hosts}/main"
        log = open(self.folder / "respite.log", "wb")
        self.wait = (upstream, log, respite)

    def spawn(self, *args, **options):
        process = subprocess.Popen([str(arg) for arg in args], stdout=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def server(self, n, *args):
        folder = self.folder / f"server-{n}"
        folder.mkdir(exist_ok=True)
        return self.spawn(
            "redis-server", "--port", self.ports[n], "--bind", "127.0.0.1", "--save", "", "--dir", folder, *args
        )

    def sentinel(self, n):
        port, folder = free_port(), self.folder / f"sentinel-{n}"
        folder.mkdir()
        file = folder / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor main 127.0.0.1 {self.ports[0]} 2\n"
            f"sentinel down-after-milliseconds main {DOWN_AFTER_MS}\nsentinel failover-timeout main 10000\n"
        )
        self.spawn("redis-server", file, "--sentinel")
        return port

    async def start(self):
        async def known():
            for port in self.sentinels:
                connection = await Connection.open(port)
                reply = await connection.call("SENTINEL", "MASTER", "main")
                connection.close()
                fields = dict(zip(reply[::2], reply[1::2]))
                if fields["num-slaves"] != "1" or fields["num-other-sentinels"] != "2":
                    return False
            return True

        await until(known)
        upstream, log, respite = self.wait
        listen = f"127.0.0.1:{self.port}"
        self.spawn(respite, "--listen", listen, "--upstream", upstream, "--http", "", stderr=log)

        async def serves():
            connection = await Connection.open(self.port)
            reply = await connection.call("SET", "ready", 1)
            connection.close()
            return reply == "OK"

        await until(serves)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


async def named(world, connections):
    """The port that two of the three sentinels name, or none."""
    asked = [connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main") for connection in connections]
    ports = collections.Counter(int(reply[1]) for reply in await asyncio.gather(*asked))
    port, votes = ports.most_common(1)[0]
    return port if votes >= 2 else None


async def watch_switch(world):
    connections = [await Connection.open(port) for port in world.sentinels]
    while await named(world, connections) == world.ports[0]:
        await asyncio.sleep(0.001)
    switch = time.monotonic()
    for connection in connections:
        connection.close()
    return switch


async def client(world, number, acknowledged, told, stop):
    connection = None
    count = 0
    while not stop.is_set():
        count += 1
        try:
            if connection is None:
                connection = await Connection.open(world.port)
            reply = await connection.call("SET", f"key:{number}", count)
            if reply == "OK":
                acknowledged.append(time.monotonic())
            else:
                told[str(reply).split(" ")[0]] += 1
        except (OSError, ConnectionError, asyncio.IncompleteReadError):
            told["closed"] += 1
            connection = None
        await asyncio.sleep(PAUSE)


async def measure(respite, how):
    world = World(respite)
    try:
        await world.start()
        stop, told = asyncio.Event(), collections.Counter()
        acknowledged = [[] for _ in range(CLIENTS)]
        clients = [asyncio.create_task(client(world, n, acknowledged[n], told, stop)) for n in range(CLIENTS)]
        await asyncio.sleep(1)
        switch = asyncio.create_task(watch_switch(world))
        begun = time.monotonic()
        if how == "command":
            connection = await Connection.open(world.sentinels[0])
            await connection.call("SENTINEL", "FAILOVER", "main")
        else:
            world.servers[0].send_signal(signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        switch = await asyncio.wait_for(switch, 60)
        await asyncio.sleep(3)
        stop.set()
        await asyncio.gather(*clients)
        # The first write that the next master took: after the longest gap of each client around the switch.
        back, outage = [], []
        for times in acknowledged:
            gaps = [(later - before, before, later) for before, later in zip(times, times[1:])]
            gap, _, later = max(one for one in gaps if one[1] < switch + AROUND)
            back.append(max(0.0, later - switch))
            outage.append(gap)
        return {
            "switch": switch - begun,
            "back": statistics.median(back),
            "last": max(back),
            "outage": statistics.median(outage),
            "told": told,
            "writes": sum(map(len, acknowledged)),
        }
    finally:
        world.stop()


def milliseconds(seconds):
    return f"{seconds * 1000:,.0f} ms"


async def main():
    respite = sys.argv[1]
    rounds = int(option("--rounds", 5))
    rows = []
    for title, how in KINDS.items():
        results = [await measure(respite, how) for _ in range(rounds)]
        told = sum((result["told"] for result in results), collections.Counter())
        median = lambda name: milliseconds(statistics.median(result[name] for result in results))
        worst = milliseconds(max(result["last"] for result in results))
        errors = ", ".join(f"{count} {name}" for name, count in sorted(told.items())) or "none"
        writes = sum(result["writes"] for result in results)
        rows.append(
            f"| {title} | {median('switch')} | {median('back')} | {worst} | {median('outage')} | {writes:,} | {errors} |"
        )
        print(rows[-1], flush=True)
    write(
        "reliability.md",
        "failover",
        [
            f"{CLIENTS} clients, a write each every 10 ms, medians of {rounds} rounds, `down-after-milliseconds` "
            f"{DOWN_AFTER_MS}:",
            "",
            "| | sentinels need | service back after the switch | the last client | a client's longest wait | writes taken | clients were told |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ],
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    asyncio.run(main())

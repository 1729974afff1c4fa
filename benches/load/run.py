"""What a crowd, a flood or a glutton costs everybody else.

    python3 benches/load/run.py RESPITE [--rounds N] [--seconds N] [--only NAME] [--write]

Starts a Redis and Respite in front of it on loopback, with two workers. A prober sends a GET (from the cache) and a SET
(forwarded) in turn with a millisecond between, on two connections, and takes their times: while nothing else is done,
and while one of the loads goes on, by turns. Then the same without Respite: what Redis, which is one thread, makes others
wait for is nobody else's. Each load runs in processes of its own with a lower priority (nice 10), so
that what it computes itself is not taken for Respite's time; it compares every byte that it is sent. `--write` puts the
table into docs/reliability.md.
"""

import multiprocessing
import os
import pathlib
import random
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from shared import encode, free_port, option, write  # noqa: E402

CONNECTIONS = 10_000
PIPELINE = 10_000
ELEMENTS = 100_000
HUGE = 512 * 1024 * 1024
CONNECTS_A_SECOND = 5_000
CONNECTING = 4  # processes
SUBSCRIBERS = 50


def connect(port, source=None):
    connection = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=source)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def exactly(connection, wanted):
    """Reads so many bytes, which have to be these."""
    got = read(connection, len(wanted))
    if got != wanted:
        raise AssertionError(f"{got[:200]!r} instead of {wanted[:200]!r}")


def read(connection, count):
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise ConnectionError("closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def call(connection, *words):
    """The line that a short command is answered with."""
    connection.sendall(encode(*words))
    line = b""
    while not line.endswith(b"\r\n"):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed")
        line += part
    return line


# === the loads: each works until `stop` is set, and returns what it has done ===


def crowd(port, stop):
    """Ten thousand clients, most of them idle."""
    clients = []
    for n in range(CONNECTIONS):
        client = connect(port, (f"127.0.0.{2 + n % 4}", 0))
        clients.append(client)
    for n, client in enumerate(clients):
        exactly_call(client, encode("PING", f"token:{n}"), b"$%d\r\ntoken:%d\r\n" % (len(f"token:{n}"), n))
    ready()
    asked = CONNECTIONS
    while not stop.is_set():
        n = random.randrange(CONNECTIONS)
        exactly_call(clients[n], encode("PING", f"token:{n}"), b"$%d\r\ntoken:%d\r\n" % (len(f"token:{n}"), n))
        asked += 1
        time.sleep(0.002)
    return f"{len(clients):,} connected, {asked:,} requests"


def exactly_call(connection, request, wanted):
    connection.sendall(request)
    exactly(connection, wanted)


def duplex(connection, request, wanted):
    """Sends a large packet while reading its replies."""
    connection.setblocking(False)
    sent = got = 0
    view, check = memoryview(request), memoryview(wanted)
    while got < len(wanted):
        readable, writable, _ = select.select([connection], [connection] if sent < len(view) else [], [], 60)
        if not readable and not writable:
            raise TimeoutError("no reply")
        if writable:
            sent += connection.send(view[sent : sent + (1 << 18)])
        if readable:
            part = connection.recv(1 << 18)
            if not part:
                raise ConnectionError("closed")
            if check[got : got + len(part)] != part:
                raise AssertionError(f"other bytes than were expected after {got}")
            got += len(part)
    connection.setblocking(True)


def pipelines(port, stop):
    """Packets of ten thousand requests."""
    clients = [connect(port) for _ in range(4)]
    ready()
    packets = 0
    while not stop.is_set():
        for number, client in enumerate(clients):
            request, wanted = [], []
            for n in range(PIPELINE // 2):
                value = b"%d:%d:%d" % (number, packets, n)
                request += [encode("SET", f"p:{number}:{n % 100}", value), encode("GET", f"p:{number}:{n % 100}")]
                wanted += [b"+OK\r\n$%d\r\n%s\r\n" % (len(value), value)]
            duplex(client, b"".join(request), b"".join(wanted))
            packets += 1
    return f"{packets:,} packets"


def huge(port, stop):
    """Values of 512 MiB, written and read."""
    client = connect(port)
    chunk = random.Random(1).randbytes(1 << 20)
    ready()
    done = 0
    while not stop.is_set():
        client.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n" % HUGE)
        for _ in range(HUGE >> 20):
            client.sendall(chunk)
        client.sendall(b"\r\n")
        exactly(client, b"+OK\r\n")
        client.sendall(encode("GET", "huge"))
        exactly(client, b"$%d\r\n" % HUGE)
        for _ in range(HUGE >> 20):
            exactly(client, chunk)
        exactly(client, b"\r\n")
        done += 1
    call(client, "DEL", "huge")
    return f"{done} written and read"


def elements(port, stop):
    """Replies of a hundred thousand elements."""
    clients = [connect(port) for _ in range(2)]
    values = [b"element:%07d" % n for n in range(ELEMENTS)]
    for start in range(0, ELEMENTS, 1000):
        call(clients[0], "RPUSH", "elements", *values[start : start + 1000])
    wanted = b"*%d\r\n" % ELEMENTS + b"".join(b"$%d\r\n%s\r\n" % (len(value), value) for value in values)
    ready()
    done = 0
    while not stop.is_set():
        for client in clients:
            client.sendall(encode("LRANGE", "elements", 0, -1))
        for client in clients:
            exactly(client, wanted)
            done += 1
    call(clients[0], "DEL", "elements")
    return f"{done:,} replies of {len(wanted) / 1e6:.1f} MB"


def slow(port, stop):
    """Clients that ask for much and read little, or nothing."""
    writer = connect(port)
    value = random.Random(2).randbytes(1 << 20)
    for n in range(8):
        writer.sendall(encode("SET", f"slow:{n}", value))
        exactly(writer, b"+OK\r\n")
    crawling = [connect(port) for _ in range(20)]
    deaf = [connect(port) for _ in range(20)]
    for client in crawling + deaf:
        client.sendall(b"".join(encode("GET", f"slow:{n % 8}") for n in range(200)))
    ready()
    # What each has read: its place in the stream of replies, which is known.
    reply = b"$%d\r\n%s\r\n" % (len(value), value)
    twice = reply + reply
    places, closed = [0] * len(crawling), set()
    while not stop.is_set():
        for n, client in enumerate(crawling):
            got = client.recv(16384, socket.MSG_DONTWAIT) if n not in closed and readable(client) else None
            if got == b"":
                closed.add(n)
            if got:
                at = places[n] % len(reply)
                if twice[at : at + len(got)] != got:
                    raise AssertionError("other bytes than were expected")
                places[n] += len(got)
        time.sleep(0.05)
    told = f", {len(closed)} of them closed" if closed else ""
    return f"20 read {sum(places) / 1e6:.0f} MB{told}, 20 nothing"


def readable(connection):
    return bool(select.select([connection], [], [], 0)[0])


def connects(port, stop):
    """Five thousand connections a second, each for one request."""
    ready()
    done, begun = 0, time.monotonic()
    while not stop.is_set():
        client = connect(port, (f"127.0.1.{1 + done % 200}", 0))
        exactly_call(client, b"PING\r\n", b"+PONG\r\n")
        client.close()
        done += 1
        ahead = done / (CONNECTS_A_SECOND / CONNECTING) - (time.monotonic() - begun)
        if ahead > 0.002:
            time.sleep(ahead)
    return done / (time.monotonic() - begun)


def subscribers(port, stop):
    """Subscribers that do not read what is published all the time."""
    deaf = [connect(port) for _ in range(SUBSCRIBERS)]
    hearing = connect(port)
    for client in [*deaf, hearing]:
        client.sendall(encode("SUBSCRIBE", "news"))
        exactly(client, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
    publisher = connect(port)
    body = b"x" * 1024
    ready()
    done = 0
    while not stop.is_set():
        text = b"%012d" % done + body
        call(publisher, "PUBLISH", "news", text)
        exactly(hearing, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n" % (len(text), text))
        done += 1
        time.sleep(0.002)
    return f"{done:,} messages to {SUBSCRIBERS} that do not read and one that does"


# What is done, by how many processes.
LOADS = {
    "10,000 connections": (crowd, 1),
    "packets of 10,000 requests, 4 clients": (pipelines, 1),
    "values of 512 MiB, written and read": (huge, 1),
    "replies of 100,000 elements, 2 clients": (elements, 1),
    "40 readers that are slow or deaf, 200 MB asked for each": (slow, 1),
    "5,000 connections a second, a request each": (connects, CONNECTING),
    "50 subscribers that do not read": (subscribers, 1),
}


def ready():
    READY.release()


def worker(load, port, stop, results, ready_semaphore):
    global READY
    READY = ready_semaphore
    os.nice(10)
    try:
        results.put((None, load(port, stop)))
    except Exception as error:  # told to whoever measures
        ready()
        results.put((f"{load.__name__}: {error!r}", None))


def probe(port, seconds):
    """The times of a quiet client's reads and writes, in milliseconds, sorted."""
    clients = [connect(port), connect(port)]
    call(clients[0], "SET", "probe", "x")
    reads, writes, end, n = [], [], time.monotonic() + seconds, 0
    while time.monotonic() < end:
        client, n = clients[n % 2], n + 1
        read = n % 4 < 2
        request, wanted = (encode("GET", "probe"), b"$1\r\nx\r\n") if read else (encode("SET", "other", n), b"+OK\r\n")
        begun = time.perf_counter()
        exactly_call(client, request, wanted)
        (reads if read else writes).append((time.perf_counter() - begun) * 1000)
        time.sleep(0.001)
    return sorted(reads), sorted(writes)


def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


def memory(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def measure(respite, load, processes, rounds, seconds):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="respite-load-"))
    redis_port, port = free_port(), free_port()
    devnull = {"stdout": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    servers = [
        subprocess.Popen(
            ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
            + ["--maxclients", "11000", "--protected-mode", "no"],
            **devnull,
        )
    ]
    time.sleep(0.5)
    environment = dict(os.environ, RESPITE_LIMITS__CLIENTS="11000")
    servers.append(
        subprocess.Popen(
            [respite, "serve", "--listen", f"127.0.0.1:{port}", "--upstream", f"redis://127.0.0.1:{redis_port}"]
            + ["--http", "", "--workers", "2"],
            env=environment,
            stderr=open(folder / "respite.log", "wb"),
            **devnull,
        )
    )
    pid = servers[1].pid
    try:
        end = time.monotonic() + 30
        while True:
            try:
                client = connect(port)
                if call(client, "SET", "ready", 1) == b"+OK\r\n":
                    break
            except OSError:
                pass
            if time.monotonic() > end:
                raise TimeoutError("Respite does not serve")
            time.sleep(0.05)
        pair = {"through": port, "alone": redis_port}
        quiet, busy = {way: [] for way in pair}, {way: [] for way in pair}
        done, peak, before = [], 0, memory(pid, "VmRSS")
        for _ in range(rounds):
            for way, to in pair.items():
                quiet[way].append(probe(to, seconds))
                pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
                stop, results, started = multiprocessing.Event(), multiprocessing.Queue(), multiprocessing.Semaphore(0)
                workers = [
                    multiprocessing.Process(target=worker, args=(load, to, stop, results, started))
                    for _ in range(processes)
                ]
                for one in workers:
                    one.start()
                for _ in workers:
                    if not started.acquire(timeout=120):
                        raise TimeoutError("the load does not begin")
                busy[way].append(probe(to, seconds))
                stop.set()
                for _ in workers:
                    error, told = results.get(timeout=120)
                    if error:
                        raise AssertionError(f"{way}: {error}")
                    if way == "through":
                        done.append(told)
                for one in workers:
                    one.join()
                peak = max(peak, memory(pid, "VmHWM"))
        time.sleep(1)
        after = memory(pid, "VmRSS")
        log = (folder / "respite.log").read_text()
        if "panicked" in log or servers[1].poll() is not None:
            raise AssertionError(log[-2000:])
        return quiet, busy, done, (before, peak, after)
    finally:
        for server in servers:
            server.send_signal(signal.SIGKILL)
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    respite = sys.argv[1]
    rounds, seconds = int(option("--rounds", 5)), float(option("--seconds", 4))
    only = option("--only", "")
    if only and "--write" in sys.argv:
        sys.exit("--write puts the whole table into the page: not with --only")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for title, (load, processes) in LOADS.items():
        if only not in title:
            continue
        quiet, busy, done, (before, peak, after) = measure(respite, load, processes, rounds, seconds)
        both = lambda reads_and_writes: sorted(reads_and_writes[0] + reads_and_writes[1])
        kinds = [("through", lambda one: one[0]), ("through", lambda one: one[1]), ("alone", both)]
        cells = []
        for way, pick in kinds:
            high = lambda rounds: statistics.median(percentile(pick(one), 0.99) for one in rounds)
            cells.append(f"{high(quiet[way]):.2f} → {high(busy[way]):.2f} ms")
        if isinstance(done[0], float):
            each = [sum(done[n : n + processes]) for n in range(0, len(done), processes)]
            work = f"{statistics.median(each):,.0f} a second"
        else:
            work = done[len(done) // 2]
        megabytes = "{:,.0f} / {:,.0f} / {:,.0f} MB".format(before / 1e6, peak / 1e6, after / 1e6)
        rows.append(
            f"| {title} | {work} | {' | '.join(cells)} | {megabytes} |"
        )
        print(rows[-1], flush=True)
    write(
        "reliability.md",
        "load",
        [
            f"{rounds} rounds of {seconds:g} s each, {os.cpu_count()} cores for everything; 99th percentiles of others' times, quiet → under the "
            "load, medians of the rounds:",
            "",
            "| load | done in a round | reads from the cache | writes | both at Redis alone | Respite's memory before / at most / after |",
            "|---|---|---|---|---|---|",
            *rows,
        ],
    )


if __name__ == "__main__":
    main()

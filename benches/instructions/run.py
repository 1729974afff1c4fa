"""How many instructions Respite takes for a command, counted by callgrind: the same on a busy machine.

    python3 benches/instructions/run.py RESPITE [--write]

A Respite with one worker runs under `valgrind --tool=callgrind`, and redis-benchmark sends commands. What is
counted is what all threads of Respite execute between two points of a steady load, the kernel not included.
`--write` puts the table into docs/performance.md.
"""

import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

CLIENTS = 10
COUNT = 40_000
VALUE = "x" * 64
CASES = [
    # title, the cache's mode, depth of the pipeline, command
    ("`GET`, a hit", "tracking", 1, ["GET", "k"]),
    ("`GET`, a hit", "tracking", 16, ["GET", "k"]),
    ("`HGETALL` of 5 fields, a hit", "tracking", 16, ["HGETALL", "h"]),
    ("`SET`, forwarded", "tracking", 1, ["SET", "k", VALUE]),
    ("`SET`, forwarded", "tracking", 16, ["SET", "k", VALUE]),
    ("`GET`, forwarded", "off", 1, ["GET", "k"]),
    ("`GET`, forwarded", "off", 16, ["GET", "k"]),
]
BEGIN, END = "<!-- instructions: begin -->", "<!-- instructions: end -->"


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def wait_for(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(b"PING\r\n")
                if connection.recv(64).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(port)


def benchmark(port, depth, count, command):
    subprocess.run(
        ["redis-benchmark", "-p", str(port), "-c", str(CLIENTS), "-P", str(depth), "-n", str(count), *command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=600,
    )


def total(folder, pid):
    """The instructions counted so far, by a dump that also begins the count anew."""
    before = set(folder.glob("out*"))
    subprocess.run(["callgrind_control", "-d", str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for file in set(folder.glob("out*")) - before:
            if found := re.search(r"^totals: (\d+)", file.read_text(), re.M):
                return int(found[1])
        time.sleep(0.2)
    raise TimeoutError("no dump")


def main():
    respite = sys.argv[1]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="respite-instructions-"))
    processes, rows = [], []
    try:
        backing = free_port()
        processes.append(
            subprocess.Popen(
                ["redis-server", "--port", str(backing), "--save", "", "--bind", "127.0.0.1"],
                stdout=subprocess.DEVNULL,
            )
        )
        wait_for(backing)
        fill = ["HSET", "h", *(word for n in range(5) for word in (f"field{n}", VALUE))]
        for command in (["SET", "k", VALUE], fill):
            subprocess.run(["redis-cli", "-p", str(backing), *command], check=True, stdout=subprocess.DEVNULL)
        for mode in ("tracking", "off"):
            port = free_port()
            (config := folder / f"{mode}.toml").write_text(f'[cache]\nmode = "{mode}"\n')
            process = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.{mode}", respite]
                + ["--config", str(config), "--listen", f"127.0.0.1:{port}", "--http", "", "--workers", "1"]
                + ["--upstream", f"redis://127.0.0.1:{backing}", "--log-level", "error"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            processes.append(process)
            wait_for(port)
            for title, of, depth, command in CASES:
                if of != mode:
                    continue
                benchmark(port, depth, 2_000, command)
                total(folder, process.pid)
                benchmark(port, depth, COUNT, command)
                each = total(folder, process.pid) / COUNT
                rows.append(f"| {title} | {depth} | {each:,.0f} |")
                print(rows[-1], flush=True)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    if "--write" in sys.argv:
        head = ["| command | pipeline | instructions |", "|---|---|---|"]
        page = pathlib.Path(__file__).parents[2] / "docs" / "performance.md"
        text = page.read_text()
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        page.write_text("\n".join([before + BEGIN, *head, *rows, END + after]))


main()

"""How many instructions Respite takes for a command, counted by callgrind: the same on a busy machine.

    python3 benches/instructions/run.py RESPITE [--write]

A Respite with one worker runs under `valgrind --tool=callgrind`, and redis-benchmark sends commands. What is
counted is what all threads of Respite execute between two points of a steady load, the kernel not included.
`--write` puts the table into docs/performance.md.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from shared import answers, cli, free_port, until, write  # noqa: E402

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
    ("`GET`, a hit, a user of the backing", "users", 1, ["GET", "k"]),
    ("`GET`, a hit, a user of the backing", "users", 16, ["GET", "k"]),
    ("`SET`, forwarded, a user of the backing", "users", 1, ["SET", "k", VALUE]),
    ("`SET`, forwarded, a user of the backing", "users", 16, ["SET", "k", VALUE]),
    ("`GET`, a hit, one with key patterns", "users", 16, ["GET", "app:k"]),
    ("`HGETALL` of 5 fields, a hit, one with key patterns", "users", 16, ["HGETALL", "app:h"]),
    ("`SET`, forwarded, one with key patterns", "users", 16, ["SET", "app:k", VALUE]),
    ("`GET`, a hit, a cluster behind", "cluster", 1, ["-r", "100", "GET", "k:__rand_int__"]),
    ("`GET`, a hit, a cluster behind", "cluster", 16, ["-r", "100", "GET", "k:__rand_int__"]),
    ("`SET`, forwarded, a cluster behind", "cluster", 1, ["-r", "100", "SET", "k:__rand_int__", VALUE]),
    ("`SET`, forwarded, a cluster behind", "cluster", 16, ["-r", "100", "SET", "k:__rand_int__", VALUE]),
]
MASTERS = 3
# Users of the backing: one who may do everything, one with rules.
PASSWORD = "pw"
USERS = {"all": ["~*", "&*", "+@all"], "app": ["~app:*", "+@all", "-@dangerous"]}


def benchmark(port, depth, count, command, user=None):
    login = ["--user", user, "-a", PASSWORD] if user else []
    subprocess.run(
        ["redis-benchmark", "-p", str(port), "-c", str(CLIENTS), "-P", str(depth), "-n", str(count), *login, *command],
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
        backing, nodes = free_port(), [free_port() for _ in range(MASTERS)]
        for server in (backing, *nodes):
            cluster = ["--cluster-enabled", "yes"] if server in nodes else []
            (own := folder / str(server)).mkdir()
            processes.append(
                subprocess.Popen(
                    ["redis-server", "--port", str(server), "--save", "", "--bind", "127.0.0.1", "--dir", own, *cluster],
                    stdout=subprocess.DEVNULL,
                )
            )
            answers(server)
        addresses = [f"127.0.0.1:{node}" for node in nodes]
        cli(nodes[0], "--cluster", "create", *addresses, "--cluster-yes")
        until(lambda: all("cluster_state:ok" in cli(node, "CLUSTER", "INFO") for node in nodes))
        fields = [word for n in range(5) for word in (f"field{n}", VALUE)]
        for name, rules in USERS.items():
            cli(backing, "ACL", "SETUSER", name, "on", f">{PASSWORD}", *rules)
        for command in (["SET", "k", VALUE], ["SET", "app:k", VALUE], ["HSET", "h", *fields], ["HSET", "app:h", *fields]):
            cli(backing, *command)
        for n in range(100):
            cli(nodes[0], "-c", "SET", f"k:{n:012d}", VALUE)
        for mode in ("tracking", "off", "users", "cluster"):
            port = free_port()
            cached = "off" if mode == "off" else "tracking"
            (config := folder / f"{mode}.toml").write_text(
                f'[access]\nusers_of = "{"backing" if mode == "users" else "respite"}"\n[cache]\nmode = "{cached}"\n'
            )
            upstream = f"redis://127.0.0.1:{backing}"
            if mode == "cluster":
                upstream = "cluster://" + ",".join(addresses)
            process = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.{mode}", respite]
                + ["--config", str(config), "--listen", f"127.0.0.1:{port}", "--http", "", "--workers", "1"]
                + ["--upstream", upstream, "--log-level", "error"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            processes.append(process)
            answers(port)
            for title, of, depth, command in CASES:
                if of != mode:
                    continue
                user = ("app" if command[1].startswith("app:") else "all") if mode == "users" else None
                benchmark(port, depth, 2_000, command, user)
                total(folder, process.pid)
                benchmark(port, depth, COUNT, command, user)
                each = total(folder, process.pid) / COUNT
                rows.append(f"| {title} | {depth} | {each:,.0f} |")
                print(rows[-1], flush=True)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    write("performance.md", "instructions", ["| command | pipeline | instructions |", "|---|---|---|", *rows])


main()

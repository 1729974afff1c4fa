"""What a login costs: commands of a user of the backing, beside those of clients that nobody has to log in.

    python3 benches/users/run.py RESPITE [--rounds N] [--millis N] [--write]

Two Respites with a worker each are in front of one Redis: one asks for no login, one has `users_of = "backing"`, and
redis-benchmark is logged in there as a user who may do everything, and as one with key patterns and some commands
denied. All are asked in turns within every round; the ratios are medians over the rounds, each taken within its round,
and the microseconds are Respite's for one command. `--write` puts the table into docs/access.md.
"""

import csv
import io
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from shared import answers, cli, cpu, free_port, option, write  # noqa: E402

CLIENTS = 50
KEYS = 10_000
VALUE = "x" * 64
PASSWORD = "pw"
USERS = {"all": ["~*", "&*", "+@all"], "app": ["~app:*", "+@all", "-@dangerous"]}
KEY = "app:__rand_int__"
# title, the cache's mode, command
CASES = [
    ("`GET`, a hit", "tracking", ["GET", KEY]),
    ("`SET`", "tracking", ["SET", KEY, VALUE]),
    ("`GET`, cache off", "off", ["GET", KEY]),
]


class World:
    """One Redis, and the Respites in front of it."""

    def __init__(self, respite):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="respite-users-"))
        self.processes = []
        self.redis = free_port()
        self.spawn("redis-server", "--port", self.redis, "--bind", "127.0.0.1", "--save", "")
        answers(self.redis)
        for name, rules in USERS.items():
            cli(self.redis, "ACL", "SETUSER", name, "on", f">{PASSWORD}", *rules)
        # By the cache's mode and whose users there are: the port and the process.
        self.respites = {}
        for mode in ("tracking", "off"):
            for users in ("respite", "backing"):
                port = free_port()
                config = self.folder / f"{mode}-{users}.toml"
                config.write_text(f'[access]\nusers_of = "{users}"\n[cache]\nmode = "{mode}"\n')
                listen = ["--listen", f"127.0.0.1:{port}", "--http", "", "--workers", 1]
                upstream = f"redis://127.0.0.1:{self.redis}"
                pid = self.spawn(respite, "serve", "--config", config, *listen, "--upstream", upstream)
                answers(port)
                self.respites[mode, users] = port, pid

    def spawn(self, *args):
        log = open(self.folder / f"{len(self.processes)}.log", "wb")
        process = subprocess.Popen([str(arg) for arg in args], stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process.pid

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, mode, user, depth, requests, command):
        """Requests a second, and Respite's microseconds for one."""
        port, pid = self.respites[mode, "backing" if user else "respite"]
        login = ["--user", user, "-a", PASSWORD] if user else []
        args = f"redis-benchmark -p {port} -c {CLIENTS} -P {depth} -n {requests} -r {KEYS} --csv -q".split()
        before = cpu(pid)
        done = subprocess.run([*args, *login, *command], capture_output=True, text=True, timeout=120, check=True)
        spent = 1e6 * (cpu(pid) - before) / requests
        return float(next(csv.DictReader(io.StringIO(done.stdout)))["rps"]), spent


def main():
    respite = str(pathlib.Path(sys.argv[1]).resolve())
    rounds, millis = int(option("--rounds", 9)), int(option("--millis", 700))
    lines = [
        "| | P | a user who may do everything ÷ no login | one with rules ÷ no login | µs of Respite: no login, everything, rules |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    world = World(respite)
    who = [None, *USERS]
    try:
        # Every key is there, and in the caches: the first of all reads only open what fetches.
        for mode, user in [("tracking", user) for user in who] + [("off", None)]:
            for _ in range(2):
                world.run(mode, user, 16, 5 * KEYS, ["SET", KEY, VALUE])
                world.run(mode, user, 16, 20 * KEYS, ["GET", KEY])
        for title, mode, command in CASES:
            for depth in (1, 16, 64):
                trial, _ = world.run(mode, None, depth, 50_000, command)
                requests = max(50_000, int(trial * millis / 1000))
                runs = []
                for at in range(rounds):
                    order = who[at % len(who) :] + who[: at % len(who)]
                    runs.append({user: world.run(mode, user, depth, requests, command) for user in order})
                ratio = lambda user: statistics.median(run[user][0] / run[None][0] for run in runs)
                costs = " / ".join(f"{statistics.median(run[user][1] for run in runs):.2f}" for user in who)
                lines.append(f"| {title} | {depth} | {ratio('all'):.2f} | {ratio('app'):.2f} | {costs} |")
                print(lines[-1], flush=True)
    finally:
        world.stop()
    head = (
        f"Requests a second, {CLIENTS} clients, 64 bytes, {KEYS:,} keys, {os.cpu_count()} cores for all processes, medians of "
        f"{rounds} interleaved rounds:"
    )
    write("access.md", "users", [head, "", *lines])


if __name__ == "__main__":
    main()

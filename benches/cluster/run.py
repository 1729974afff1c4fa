"""A Redis Cluster behind Respite, beside the same cluster behind Envoy and without a proxy.

    python3 benches/cluster/run.py RESPITE [--masters 3,6,12] [--rounds N] [--millis N] [--write]

Starts a cluster on loopback, and in front of it Respite (with and without its cache) and Envoy. `redis-benchmark`
sends `SET` and `GET` to each, in turns within every round; to the cluster itself one process for each master does, with
keys of that master: `redis-benchmark --cluster` is too slow to measure it with pipelines. A Respite in front of one
Redis is there to compare the hits. The ratios are medians over the rounds, each taken within its round; the
microseconds are what the processes of a system take for one command. `--write` puts the table into docs/cluster.md.
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
from shared import ROOT, answers, cli, cpu, free_port, option, until, write  # noqa: E402

CLIENTS = 50
KEYS = 10_000
VALUE = 64
PIPELINES = [1, 16, 64]
HIT = "`GET`, a hit"

ENVOY = """\
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: compare
          settings: { op_timeout: 5s, enable_redirection: true, enable_hashtagging: true }
          prefix_routes: { catch_all_route: { cluster: backing } }
  clusters:
  - name: backing
    connect_timeout: 1s
    lb_policy: CLUSTER_PROVIDED
    cluster_type:
      name: envoy.clusters.redis
      typed_config:
        '@type': type.googleapis.com/envoy.extensions.clusters.redis.v3.RedisClusterConfig
        cluster_refresh_rate: 5s
    load_assignment:
      cluster_name: backing
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: BACKING } }
"""


def envoy():
    peer = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "peers/envoy/_bin/envoy"
    return shutil.which("envoy") or (str(peer) if peer.exists() else None)


class System:
    """What is measured: where it listens, and the processes that work for it."""

    def __init__(self, name, port, pids, backing=(), tags=None):
        self.name, self.port, self.pids, self.backing = name, port, pids, list(backing)
        # A tag of keys for each port, of what is divided among several.
        self.tags = tags

    def seconds(self):
        """CPU seconds so far, of itself and of the servers behind."""
        return [sum(map(cpu, pids)) for pids in (self.pids, self.backing)]


class World:
    """The cluster and what is in front of it."""

    def __init__(self, respite, masters):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="respite-cluster-"))
        self.processes = []
        ports = [free_port() for _ in range(masters)]
        nodes = [self.redis(port, "--cluster-enabled", "yes") for port in ports]
        for port in ports:
            answers(port)
        addresses = [f"127.0.0.1:{port}" for port in ports]
        cli(ports[0], "--cluster", "create", *addresses, "--cluster-yes")
        until(lambda: all("cluster_state:ok" in cli(port, "CLUSTER", "INFO") for port in ports))
        tags = {}
        for tag in range(1000):
            said = cli(ports[0], "SET", f"{{{tag}}}", "1")
            tags.setdefault(int(said.rsplit(":")[1]) if said.startswith("MOVED") else ports[0], tag)
            if len(tags) == masters:
                break
        one = free_port()
        alone = self.redis(one)
        upstream = "cluster://" + ",".join(addresses[:2])
        self.systems = {
            "direct": System("direct", ports[0], nodes, tags=tags),
            "respite": self.respite(respite, upstream, "tracking", nodes),
            "uncached": self.respite(respite, upstream, "off", nodes),
            "one": self.respite(respite, f"redis://127.0.0.1:{one}", "tracking", [alone]),
        }
        if envoy():
            self.systems["envoy"] = self.envoy(ports[0], nodes)
        for system in self.systems.values():
            until(lambda system=system: cli(system.port, "-c", "SET", "ready", "1", check=False) == "OK\n")

    def spawn(self, *args, env=None):
        log = open(self.folder / f"{len(self.processes)}.log", "wb")
        process = subprocess.Popen(
            [str(arg) for arg in args], stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **(env or {})}
        )
        self.processes.append(process)
        return process.pid

    def redis(self, port, *args):
        folder = self.folder / str(port)
        folder.mkdir()
        return self.spawn("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder, *args)

    def respite(self, program, upstream, mode, backing):
        port = free_port()
        args = ["--listen", f"127.0.0.1:{port}", "--upstream", upstream, "--http", ""]
        pid = self.spawn(program, "serve", *args, env={"RESPITE_CACHE__MODE": mode})
        return System(mode, port, [pid], backing)

    def envoy(self, node, backing):
        port = free_port()
        file = self.folder / "envoy.yaml"
        file.write_text(ENVOY.replace("PORT", str(port)).replace("BACKING", str(node)))
        pid = self.spawn(
            envoy(), "-c", file, "--concurrency", os.cpu_count(), "--log-level", "error", "--disable-hot-restart"
        )
        return System("envoy", port, [pid], backing)

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def benchmark(system, test, pipeline, requests):
    before = system.seconds()
    parts = system.tags or {system.port: None}
    share = requests // len(parts)
    runs = []
    for port, tag in parts.items():
        clients = max(1, CLIENTS // len(parts))
        command = f"redis-benchmark -p {port} -c {clients} -d {VALUE} -P {pipeline} -n {share} -r {KEYS} --csv -q"
        words = {"set": ["SET", f"key:{{{tag}}}__rand_int__", "x" * VALUE], "get": ["GET", f"key:{{{tag}}}__rand_int__"]}
        command = command.split() + (["-t", test] if tag is None else words[test])
        runs.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
    rate = 0
    for run in runs:
        output, _ = run.communicate(timeout=120)
        rate += float(next(csv.DictReader(io.StringIO(output)))["rps"])
    spent = [1e6 * (after - was) / requests for after, was in zip(system.seconds(), before)]
    return rate, spent


def fill(system):
    """Every key that a run reads is there."""
    if system.name == "direct":
        benchmark(system, "set", 16, 5 * KEYS)
        return
    value = "x" * VALUE
    text = "".join(f"SET key:{n:012d} {value}\r\nGET key:{n:012d}\r\n" for n in range(KEYS))
    command = ["redis-cli", "-p", str(system.port)]
    subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=True)


def measure(respite, masters, rounds, millis):
    world = World(respite, masters)
    try:
        systems = world.systems
        for system in systems.values():
            fill(system)
        # title, test, system, the systems that it is divided by
        rows = [
            ("`SET`", "set", "respite", ["direct", "envoy"]),
            ("`GET`, cache off", "get", "uncached", ["direct", "envoy"]),
            (HIT, "get", "respite", ["direct", "envoy", "one"]),
        ]
        results = {}
        for pipeline in PIPELINES:
            lengths = {}
            for at in range(rounds):
                for title, test, own, others in rows:
                    order = [name for name in [own, *others] if name in systems]
                    rates = {}
                    for name in order[at % len(order) :] + order[: at % len(order)]:
                        system = systems[name]
                        if (test, name) not in lengths:
                            trial, _ = benchmark(system, test, pipeline, 20_000)
                            lengths[test, name] = max(20_000, int(trial * millis / 1000))
                        if title == HIT:
                            # What was written since is fetched before it is measured.
                            benchmark(system, test, 16, 10 * KEYS)
                        rates[name] = benchmark(system, test, pipeline, lengths[test, name])
                    results.setdefault((title, own, pipeline), []).append(rates)
        return results
    finally:
        world.stop()


def report(masters, results):
    lines = []
    for (title, own, pipeline), runs in results.items():
        def ratio(other):
            ratios = [run[own][0] / run[other][0] for run in runs if other in run]
            return f"{statistics.median(ratios):.2f}" if ratios else "–"

        def spent(name):
            costs = [run[name][1] for run in runs if name in run]
            if not costs:
                return "–"
            front, behind = (statistics.median(column) for column in zip(*costs))
            return f"{behind or front:.1f}" if name == "direct" else f"{front:.1f} + {behind:.1f}"

        direct = statistics.median(run["direct"][1][0] for run in runs)
        lines.append(
            f"| {masters} | {title} | {pipeline} | {ratio('direct')} | {ratio('envoy')} | {ratio('one')} "
            f"| {spent(own)} | {spent('envoy')} | {direct:.1f} |"
        )
    return lines


def main():
    respite = str(pathlib.Path(sys.argv[1]).resolve())
    rounds, millis = int(option("--rounds", 5)), int(option("--millis", 600))
    counts = [int(count) for count in option("--masters", "3,6,12").split(",")]
    lines = [
        "| masters | | P | ÷ direct | ÷ Envoy | ÷ Respite with one Redis | µs of Respite + the masters | µs of Envoy + the masters | µs of the masters, direct |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for masters in counts:
        rows = report(masters, measure(respite, masters, rounds, millis))
        print("\n".join(rows), flush=True)
        lines += rows
    head = (
        f"Requests a second, {CLIENTS} clients, {VALUE} bytes, {KEYS:,} keys, {os.cpu_count()} cores for all processes, "
        f"medians of {rounds} interleaved rounds; and CPU time for one command:"
    )
    write("cluster.md", "bench-cluster", [head, "", *lines])


if __name__ == "__main__":
    main()

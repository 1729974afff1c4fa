"""Service discovery with nothing but redis-py: each row of the table in docs/discovery.md.

Runs against RESPITE_HOST and RESPITE_PORT; RESPITE_BIN is the program, for `respite join`. Fails on the first
wrong answer and prints how many checks held.
"""

import os
import signal
import subprocess
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

HOST = os.environ.get("RESPITE_HOST", "127.0.0.1")
PORT = int(os.environ["RESPITE_PORT"])
BIN = os.environ["RESPITE_BIN"]

checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r} is not {expected!r}")


def connect(protocol):
    return redis.Redis(
        host=HOST, port=PORT, protocol=protocol, decode_responses=True, socket_timeout=10, retry=Retry(NoBackoff(), 0)
    )


def fields(reply):
    """A map: a dict in RESP3, a flat list in RESP2."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))


def nodes(r, service, *options):
    reply = fields(r.execute_command("DISCOVERY.NODES", service, *options))
    return {node["node"]: node for node in map(fields, reply["nodes"])}


def until(condition, what):
    end = time.monotonic() + 10
    while not condition():
        check(time.monotonic() < end, f"waited in vain: {what}")
        time.sleep(0.01)


def services(r):
    made = fields(
        r.execute_command(
            "DISCOVERY.REGISTER", "api", "http://api", "TYPE", "http", "AUTH", "basic", "u:p", "META", 1, "team", "x"
        )
    )
    equal((made["service"], made["group"], bool(made["created"])), ("api", "default", True), "register a service")
    known = fields(r.execute_command("DISCOVERY.GET", "api"))
    equal((known["endpoint"], known["type"]), ("http://api", "http"), "get a service")
    equal(fields(known["meta"]), {"team": "x"}, "meta of a service")
    equal(fields(known["auth"]), {"type": "basic", "credentials": "***"}, "credentials are redacted")
    known = fields(r.execute_command("DISCOVERY.GET", "api", "WITHSECRETS"))
    equal(fields(known["auth"])["credentials"], "u:p", "credentials are shown when asked for")
    equal(r.execute_command("DISCOVERY.GET", "none"), None, "get of an unknown service")
    equal(r.execute_command("DISCOVERY.SERVICES"), ["api"], "list the services")


def joining(r):
    joined = fields(r.execute_command("DISCOVERY.JOIN", "api", "n1", "TTL", 0.5, "ADDR", "10.0.0.1", 80))
    equal((joined["ttl_ms"], bool(joined["created"])), (500, True), "join with a TTL")
    r.execute_command("DISCOVERY.JOIN", "api", "n2", "TAGS", 1, "blue", "FACTS", 2, "os", "linux", "cpu_count", 8)
    listed = nodes(r, "api")
    equal(sorted(listed), ["n1", "n2"], "list the nodes")
    equal((listed["n1"]["addr"], listed["n1"]["state"]), ("10.0.0.1:80", "passing"), "a node's address and state")
    equal(listed["n2"]["addr"], "127.0.0.1", "the address that a node joined from")
    equal((listed["n2"]["ttl_ms"], listed["n2"]["tags"]), (None, ["blue"]), "a node without a TTL")
    equal(fields(listed["n2"]["facts"]), {"os": "linux", "cpu_count": "8"}, "facts that were given")
    began = time.monotonic()
    while time.monotonic() < began + 1:
        beat = r.execute_command("DISCOVERY.HEARTBEAT", "api", "n1", "LEASE", joined["lease"])
        equal(fields(beat)["ttl_ms"], 500, "a heartbeat renews the TTL")
        time.sleep(0.1)
    check("n1" in nodes(r, "api"), "a node that is heard of stays")
    until(lambda: sorted(nodes(r, "api")) == ["n2"], "a node that is not heard of lapses")
    try:
        r.execute_command("DISCOVERY.HEARTBEAT", "api", "n1", "LEASE", joined["lease"])
        check(False, "a lapsed lease cannot be renewed")
    except ResponseError as error:
        check(str(error).startswith("NOLEASE"), f"NOLEASE: {error}")
    equal(fields(r.execute_command("DISCOVERY.RESOLVE", "api"))["node"], "n2", "resolve a service")


def facts_of_the_host(r):
    agent = subprocess.Popen(
        [BIN, "join", "api", "host", "--server", f"{HOST}:{PORT}", "--ttl", "2", "--fact", "os=mine"],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: "host" in nodes(r, "api"), "respite join joins")
        facts = fields(nodes(r, "api")["host"]["facts"])
        for fact in ("fqdn", "platform", "arch", "cpu_count", "memory", "last_boot"):
            check(facts.get(fact), f"the fact {fact}")
        equal(facts["os"], "mine", "a fact that was given wins")
        agent.send_signal(signal.SIGTERM)
        equal(agent.wait(10), 0, "respite join ends in order")
        check("host" not in nodes(r, "api"), "respite join leaves")
    finally:
        agent.kill()
        agent.wait()


def watching(r, protocol):
    index = fields(r.execute_command("DISCOVERY.NODES", "api"))["index"]
    woken = []

    def watch():
        with connect(protocol) as other:
            woken.append(fields(other.execute_command("DISCOVERY.WATCH", "api", "INDEX", index, "TIMEOUT", 8000)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    r.execute_command("DISCOVERY.JOIN", "api", "n3")
    watcher.join()
    check(woken and woken[0]["changed"], "a watch hears of a node that joins")
    equal([fields(node)["node"] for node in woken[0]["nodes"]], ["n2", "n3"], "a watch brings the nodes")


def groups(r):
    r.execute_command("DISCOVERY.JOIN", "db", "n1", "GROUP", "blue")
    equal(r.execute_command("DISCOVERY.GROUPS"), ["blue", "default"], "list the groups")
    equal(r.execute_command("DISCOVERY.SERVICES", "GROUP", "blue"), ["db"], "services of a group")
    equal(nodes(r, "db"), {}, "groups are apart")


def removing(r):
    equal(r.execute_command("DISCOVERY.LEAVE", "api", "n3"), 1, "remove a node")
    equal(r.execute_command("DISCOVERY.LEAVE", "api", "n3"), 0, "a node is removed once")
    equal(r.execute_command("DISCOVERY.DEREGISTER", "api"), 1, "remove a service")
    equal(nodes(r, "api"), {}, "its nodes go with it")
    equal(r.execute_command("DISCOVERY.DEREGISTER", "api"), 0, "a service is removed once")
    equal(r.execute_command("DISCOVERY.DROPGROUP", "blue"), 1, "remove a group")
    equal(r.execute_command("DISCOVERY.GROUPS"), [], "nothing is left")


def main():
    for protocol in (2, 3):
        with connect(protocol) as r:
            services(r)
            joining(r)
            facts_of_the_host(r)
            watching(r, protocol)
            groups(r)
            removing(r)
    print(f"redis-py {redis.__version__}: {checks} checks")


main()

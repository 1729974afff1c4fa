"""The example services of the bus, called with redis-py in RESP2 and RESP3.

Runs against RESPITE_HOST and RESPITE_PORT. Fails on the first wrong answer and prints how many checks held.
"""

import os
import pathlib
import subprocess
import sys
import time
import uuid

import redis
from redis.exceptions import ResponseError

HOST = os.environ.get("RESPITE_HOST", "127.0.0.1")
PORT = int(os.environ["RESPITE_PORT"])
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples" / "bus"

checks = 0


def check(condition, what):
    """Counts one check; a false one ends the run."""
    global checks
    checks += 1
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r} is not {expected!r}")


def start(script):
    arguments = [sys.executable, EXAMPLES / script, "--host", HOST, "--port", str(PORT)]
    return subprocess.Popen(arguments)


def wait_for_workers(r, bus):
    end = time.monotonic() + 20
    while not r.execute_command("BUS.WORKERS", bus):
        check(time.monotonic() < end, f"a worker of {bus}")
        time.sleep(0.02)


def session(r):
    def call(bus, method, *words):
        return r.execute_command("BUS.CALL", bus, method, *words)

    one, two = call("rng", "uuid"), call("rng", "uuid")
    check(uuid.UUID(one) != uuid.UUID(two), "two uuids")
    equal(len(call("rng", "password")), 12, "a password")
    equal(len(call("rng", "password", "ARGS", 20)), 20, "a longer password")
    equal(call("simple_math", "sum", "ARGS", 1, 2), "3", "sum")
    equal(call("simple_math", "sum", "KWARGS", "b", 2, "a", 1), "3", "the same sum")
    now = call("simple_math", "now", "ARGS", 1)
    equal(call("simple_math", "now", "ARGS", 1), now, "now(1) again")
    other = call("simple_math", "now", "ARGS", 2)
    check(other != now, "now(2)")
    equal(r.execute_command("BUS.UNCACHE", "simple_math", "now", "ARGS", 1), 1, "clear now(1)")
    check(call("simple_math", "now", "ARGS", 1) != now, "now(1) after that")
    equal(call("simple_math", "now", "ARGS", 2), other, "now(2) again")
    try:
        call("simple_math", "sum", "ARGS", "one", 2)
        check(False, "a sum of words")
    except ResponseError as error:
        check(str(error).startswith("BUSFAIL ValueError "), f"the worker's error: {error}")
    equal(r.execute_command("BUS.UNCACHE", "simple_math", "sum", "ALL"), 1, "one sum was cached")
    equal(r.execute_command("BUS.UNCACHE", "simple_math", "now", "ALL"), 2, "two times were")


def main():
    services = [start("rng.py"), start("simple_math.py"), start("worker_asyncio.py")]
    try:
        for protocol in (2, 3):
            r = redis.Redis(HOST, PORT, protocol=protocol, socket_timeout=20, decode_responses=True)
            for bus in ("rng", "simple_math"):
                wait_for_workers(r, bus)
            session(r)
        caller = [sys.executable, EXAMPLES / "caller.py", "--host", HOST, "--port", str(PORT)]
        output = subprocess.run(caller, capture_output=True, text=True, check=True).stdout
        check("sum(1, 2)    3" in output, output)
        wait_for_workers(r, "text")
        words = [f"word-{number}" for number in range(50)]
        caller = [sys.executable, EXAMPLES / "caller_asyncio.py", "--host", HOST, "--port", str(PORT), *words]
        output = subprocess.run(caller, capture_output=True, text=True, check=True).stdout
        equal(output.split(), [word.upper() for word in words], "many calls at a time")
    finally:
        for service in services:
            service.terminate()
    for service in services:
        equal(service.wait(timeout=20), 0, "a service ends")
    for bus in ("rng", "simple_math", "text"):
        check(r.execute_command("BUS.CLEANUP", bus) > 0, f"cleanup of {bus}")
    equal(r.keys("*"), [], "keys that are left")
    print(f"bus with redis-py {redis.__version__}: {checks} checks")


main()

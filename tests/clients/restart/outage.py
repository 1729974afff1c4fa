"""What the Python scripts share: outages of the backing, and counting checks.

The test says in a line on standard input that the backing is back; it takes it away when a script has printed `ready`.
"""

import os
import signal
import sys
import threading
import time

HOST = os.environ.get("RESPITE_HOST", "127.0.0.1")
PORT = int(os.environ["RESPITE_PORT"])
# A cluster is behind, and the outages are failovers.
CLUSTER = os.environ.get("RESPITE_CLUSTER") == "1"
URL = f"redis://{HOST}:{PORT}/0"
OUTAGES = 2

# Whoever ends a script ends its workers.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

checks = 0
lock = threading.Lock()


def check(condition, what):
    """Counts one check; a false one ends the run."""
    global checks
    with lock:
        checks += 1
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r} is not {expected!r}")


def until(what, look, seconds=60):
    """Looks until `look` is true; nothing but a failure takes that long."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.02)


def outage():
    """Lets the backing go away and come back."""
    print("ready", flush=True)
    if not sys.stdin.readline():
        raise AssertionError("the test has ended")


def report(name):
    print(f"{name}: {checks} checks", flush=True)

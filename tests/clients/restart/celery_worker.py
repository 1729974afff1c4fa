"""Celery across restarts of the backing: workers live on, and tasks from before are done after."""

import os
import subprocess
import sys
import tempfile
import time

from celery import Celery
from kombu.exceptions import OperationalError
from redis import ConnectionError, TimeoutError

from outage import CLUSTER, OUTAGES, URL, equal, outage, report, until

app = Celery("celery_worker", broker=URL, backend=URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    # Redis as a broker gives a task that was fetched and not begun to nobody else for an hour.
    worker_disable_prefetch=True,
    worker_hijack_root_logger=False,
)
if CLUSTER:
    # Its keys are used together, so they have to be in one slot.
    app.conf.broker_transport_options = app.conf.result_backend_transport_options = {"global_keyprefix": "{celery}"}


@app.task(name="wait_for")
def wait_for(file, result):
    while not os.path.exists(file):
        time.sleep(0.02)
    return result


@app.task(name="add")
def add(a, b):
    return a + b


def start(queue):
    arguments = ["-A", "celery_worker", "worker", "--pool", "threads", "--concurrency", "1", "--queues", queue]
    quiet = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--hostname", f"{queue}@local"]
    command = [sys.executable, "-m", "celery", *arguments, *quiet]
    return subprocess.Popen(command, cwd=os.path.dirname(os.path.abspath(__file__)), stdout=subprocess.DEVNULL)


def again(ask):
    """What the script asks meets the outage as well."""
    try:
        return ask()
    except (ConnectionError, TimeoutError, OperationalError):
        return None


def done(task):
    return again(lambda: app.AsyncResult(task.id).state == "SUCCESS" and app.AsyncResult(task.id).result)


def main():
    workers = {name: start(name) for name in ("busy", "idle")}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for n in range(OUTAGES):
                file = os.path.join(folder, str(n))
                long = wait_for.apply_async((file, f"long {n}"), queue="busy")
                before = add.apply_async((1, 2), queue="idle")
                until("the idle worker has done something", lambda: done(before) == 3)
                behind = add.apply_async((n, 1), queue="busy")
                outage()
                until("the backing answers", lambda: again(lambda: app.backend.client.set("celery:here", 1)))
                with open(file, "w"):
                    pass
                until("the long task ends", lambda: done(long) == f"long {n}")
                until("the task behind it ends", lambda: done(behind) == n + 1)
                after = add.apply_async((n, 10), queue="idle", retry=True)
                until("the idle worker goes on", lambda: done(after) == n + 10)
                for name, worker in workers.items():
                    equal(worker.poll(), None, f"the {name} worker lives")
    finally:
        for worker in workers.values():
            worker.kill()
    report("celery_worker")


if __name__ == "__main__":
    main()

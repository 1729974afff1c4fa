"""RQ across restarts of the backing: a busy worker and an idle one live on, and jobs from before are done after."""

import os
import subprocess
import sys
import tempfile

from redis import ConnectionError, Redis, TimeoutError
from rq import Queue, Worker

import tasks
from outage import HOST, OUTAGES, PORT, check, equal, outage, report, until


def connect():
    return Redis(host=HOST, port=PORT)


def work(queue):
    Worker([queue], connection=connect()).work(logging_level="WARNING")


def start(queue):
    return subprocess.Popen([sys.executable, __file__, queue])


def again(ask):
    """What the script asks meets the outage as well."""
    try:
        return ask()
    except (ConnectionError, TimeoutError):
        return None


def done(job):
    return again(lambda: job.get_status(refresh=True) == "finished" and job.return_value())


def main():
    workers = {name: start(name) for name in ("busy", "idle")}
    try:
        busy, idle = (Queue(name, connection=connect()) for name in workers)
        with tempfile.TemporaryDirectory() as folder:
            for n in range(OUTAGES):
                file = os.path.join(folder, str(n))
                long = busy.enqueue(tasks.wait_for, file, f"long {n}")
                behind = busy.enqueue(tasks.add, n, 1)
                until("the long job is begun", lambda: long.get_status(refresh=True) == "started")
                before = idle.enqueue(tasks.add, 1, 2)
                until("the idle worker has done something", lambda: done(before) == 3)
                outage()
                until("the backing answers", lambda: again(lambda: long.connection.set("rq:here", 1)))
                with open(file, "w"):
                    pass
                until("the long job ends", lambda: done(long) == f"long {n}")
                until("the job behind it ends", lambda: done(behind) == n + 1)
                after = idle.enqueue(tasks.add, n, 10)
                until("the idle worker goes on", lambda: done(after) == n + 10)
                check(True, "")
                for name, worker in workers.items():
                    equal(worker.poll(), None, f"the {name} worker lives")
    finally:
        for worker in workers.values():
            worker.kill()
    report("rq_worker")


if len(sys.argv) > 1:
    work(sys.argv[1])
else:
    main()

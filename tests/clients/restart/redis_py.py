"""redis-py across restarts of the backing: nothing but what it takes for a lost connection, and every client goes on."""

import threading

import redis

from outage import HOST, OUTAGES, PORT, check, equal, outage, report, until

# What redis-py itself retries, and what its users expect of a server that restarts.
LOSS = (redis.ConnectionError, redis.TimeoutError)


def connect(**options):
    return redis.Redis(host=HOST, port=PORT, decode_responses=True, **options)


class Counting(threading.Thread):
    """Uses one client all the time, as a web application does, and notes what it is told."""

    def __init__(self, protocol):
        super().__init__(daemon=True)
        self.client = connect(protocol=protocol)
        self.key = f"py:n:{protocol}"
        self.done, self.strange, self.stop = 0, None, False

    def run(self):
        while not self.stop:
            try:
                with self.client.pipeline() as pipeline:
                    pipeline.incr(self.key).get(self.key)
                    number, text = pipeline.execute()
                equal(text, str(number), "a transaction")
                self.client.get(self.key)
                self.client.eval("return redis.call('INCR', KEYS[1])", 1, self.key)
                self.done += 1
            except LOSS:
                pass
            except BaseException as error:
                self.strange = error
                return

    def goes_on(self, what):
        before = self.done
        until(what, lambda: self.strange or self.done > before + 2)
        check(self.strange is None, f"{what}: {self.strange!r}")


class Listening(threading.Thread):
    """A subscriber, which redis-py subscribes again."""

    def __init__(self):
        super().__init__(daemon=True)
        self.pubsub = connect().pubsub(ignore_subscribe_messages=True)
        self.pubsub.subscribe("py:news")
        self.heard, self.strange = [], None

    def hears(self, r, news):
        """Publishes, and tells whether it was heard already: the subscriber may be about to subscribe again."""
        r.publish("py:news", news)
        return news in self.heard

    def run(self):
        while True:
            try:
                message = self.pubsub.get_message(timeout=0.2)
                if message:
                    self.heard.append(message["data"])
            except LOSS:
                pass
            except BaseException as error:
                self.strange = error
                return


class Popping(threading.Thread):
    """Waits for jobs in BLPOP."""

    def __init__(self):
        super().__init__(daemon=True)
        self.client = connect()
        self.popped, self.strange = [], None

    def run(self):
        while True:
            try:
                job = self.client.blpop("py:jobs", timeout=30)
                if job:
                    self.popped.append(job[1])
            except LOSS:
                pass
            except BaseException as error:
                self.strange = error
                return


def main():
    counting = [Counting(2), Counting(3)]
    listening, popping = Listening(), Popping()
    for thread in [*counting, listening, popping]:
        thread.start()
    r = connect()
    for n in range(OUTAGES):
        for thread in counting:
            thread.goes_on("before the outage")
        r.set("py:kept", n)
        outage()
        until("the backing answers", lambda: answers(r))
        equal(r.get("py:kept"), str(n), "what was written before")
        for thread in counting:
            thread.goes_on("after the outage")
        r.rpush("py:jobs", f"job {n}")
        until("the job is popped", lambda: popping.strange or f"job {n}" in popping.popped)
        check(popping.strange is None, f"blpop: {popping.strange!r}")
        until("the news", lambda: listening.strange or listening.hears(r, f"news {n}"))
        check(listening.strange is None, f"the subscriber: {listening.strange!r}")
    for thread in counting:
        thread.stop = True
        thread.join(30)
        check(thread.strange is None, repr(thread.strange))
    report("redis_py")


def answers(r):
    try:
        return r.set("py:here", 1)
    except LOSS:
        return False


main()

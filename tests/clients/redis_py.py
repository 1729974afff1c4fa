"""redis-py at ordinary life, sync and asyncio, in RESP2 and RESP3.

Runs against RESPITE_HOST and RESPITE_PORT. Fails on the first wrong answer and prints how many checks held.
"""

import asyncio
import os
import threading
import time

import redis
import redis.asyncio as aioredis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, NoScriptError, ResponseError, WatchError
from redis.retry import Retry

HOST = os.environ.get("RESPITE_HOST", "127.0.0.1")
PORT = int(os.environ["RESPITE_PORT"])
# A cluster behind: one database, and a command's keys are in one slot unless it can be divided.
CLUSTER = os.environ.get("RESPITE_CLUSTER") == "1"

checks = 0
checks_lock = threading.Lock()


def check(condition, what):
    """Counts one check; a false one ends the run."""
    global checks
    with checks_lock:
        checks += 1
    if not condition:
        raise AssertionError(what)


def equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r} is not {expected!r}")


def together(key):
    """The name of a key that a command or a transaction has beside others."""
    return f"{{together}}{key}" if CLUSTER else key


def connect(protocol, **options):
    options.setdefault("decode_responses", True)
    return redis.Redis(
        host=HOST, port=PORT, protocol=protocol, socket_timeout=10, retry=Retry(NoBackoff(), 0), **options
    )


def basics(r):
    r.flushall()
    check(r.ping(), "ping")
    equal(r.set("k", "v"), True, "set")
    equal(r.get("k"), "v", "get")
    equal(r.get("missing"), None, "get of a missing key")
    equal(r.set("k", "w", nx=True), None, "set nx")
    equal(r.set("k", "w", get=True), "v", "set get")
    equal(r.set("e", "x", ex=100), True, "set ex")
    check(0 < r.ttl("e") <= 100, "ttl")
    equal(r.incr("n", 5), 5, "incr")
    equal(r.incrbyfloat("f", 1.5), 1.5, "incrbyfloat")
    equal(r.mset({"a": 1, "b": 2}), True, "mset")
    equal(r.mget("a", "b", "c"), ["1", "2", None], "mget")
    hash = together("h")
    equal(r.hset(hash, mapping={"x": 1, "y": 2}), 2, "hset")
    equal(r.hgetall(hash), {"x": "1", "y": "2"}, "hgetall")
    equal(r.rpush("l", 1, 2, 3), 3, "rpush")
    equal(r.lrange("l", 0, -1), ["1", "2", "3"], "lrange")
    equal(r.sadd("s", "x", "y"), 2, "sadd")
    equal(r.smembers("s"), {"x", "y"}, "smembers")
    equal(r.zadd("z", {"a": 1, "b": 2.5}), 2, "zadd")
    equal(r.zscore("z", "b"), 2.5, "zscore")
    equal([tuple(pair) for pair in r.zrange("z", 0, -1, withscores=True)], [("a", 1.0), ("b", 2.5)], "zrange")
    equal(r.type("z"), "zset", "type")
    equal(r.delete("a", "b", "c"), 2, "delete")
    equal(r.exists(hash, "l", "gone"), 2, "exists")
    equal(r.rename(hash, together("h2")), True, "rename")
    equal(r.geoadd("g", (13.361389, 38.115556, "Palermo")), 1, "geoadd")
    check(abs(r.geopos("g", "Palermo")[0][0] - 13.361389) < 1e-4, "geopos")
    try:
        r.incr("l")
        check(False, "incr of a list must fail")
    except ResponseError as error:
        equal(str(error), "WRONGTYPE Operation against a key holding the wrong kind of value", "wrong type")
    try:
        r.execute_command("NOSUCH", "x")
        check(False, "an unknown command must fail")
    except ResponseError as error:
        check(str(error).startswith("unknown command"), f"unknown command: {error}")
    equal(r.echo("hi"), "hi", "echo")
    check(r.dbsize() > 0, "dbsize")


def binary(protocol):
    with connect(protocol, decode_responses=False) as r:
        value = bytes(range(256)) * 4096
        r.set(b"\x00\r\n", value)
        equal(r.get(b"\x00\r\n"), value, "a binary value of a megabyte")


def server_facts(r):
    info = r.info()
    check(info["redis_version"].count(".") == 2, "info: redis_version")
    check("connected_clients" in info and "used_memory" in info, "info: fields")
    check("role" in r.info("replication"), "info replication")
    check(r.command_count() > 200, "command count")
    check("get" in r.command(), "command")
    check(isinstance(r.time()[0], int), "time")
    equal(r.config_get("maxmemory"), {"maxmemory": "0"}, "config get")


def client_names(protocol):
    with connect(protocol, client_name="me", single_connection_client=True) as r:
        equal(r.client_getname(), "me", "client_getname after client_name=")
        equal(r.client_setname("you"), True, "client_setname")
        equal(r.client_getname(), "you", "client_getname")
        check(r.client_id() > 0, "client_id")
        info = r.client_info()
        equal(info["name"], "you", "client_info")
        check(any(c["name"] == "you" for c in r.client_list()), "client_list")
        other = connect(protocol, client_name="victim", single_connection_client=True)
        other.ping()
        equal(r.client_kill_filter(_id=other.client_id()), 1, "client_kill")


def databases(protocol):
    with connect(protocol, db=3) as three, connect(protocol) as zero:
        three.set("where", "three")
        zero.set("where", "zero")
        equal((three.get("where"), zero.get("where")), ("three", "zero"), "databases")
        equal(zero.move("where", 3), False, "move onto a key")
        zero.delete("where")
        equal(three.move("where", 0), True, "move")
        equal(zero.get("where"), "three", "after move")


def pipelines(r):
    with r.pipeline(transaction=False) as p:
        for n in range(1000):
            p.set(f"p:{n}", n).get(f"p:{n}")
        replies = p.execute()
    equal(replies, [x for n in range(1000) for x in (True, str(n))], "pipeline")
    with r.pipeline() as p:
        p.multi()
        p.set("t", 1).incr("t").get("t")
        equal(p.execute(), [True, 2, "2"], "transaction")
    with r.pipeline() as p:
        p.set("t", "text").incr("t").get("t")
        replies = p.execute(raise_on_error=False)
        check(isinstance(replies[1], ResponseError), "an error in a transaction")
        equal((replies[0], replies[2]), (True, "text"), "the rest of that transaction")
    with r.pipeline(transaction=False) as p:
        p.get("t").lpush("t", 1).get("t")
        replies = p.execute(raise_on_error=False)
        check(isinstance(replies[1], ResponseError), "an error in a pipeline")


def watching(r):
    r.set("w", 1)
    with r.pipeline() as p:
        p.watch("w")
        value = int(p.get("w"))
        r.set("w", 10)
        p.multi()
        p.set("w", value + 1)
        try:
            p.execute()
            check(False, "a watched key changed: EXEC must fail")
        except WatchError:
            check(True, "")
    equal(r.get("w"), "10", "an aborted transaction changes nothing")
    attempts = []

    def bump(p):
        attempts.append(1)
        value = int(p.get("w"))
        if len(attempts) == 1:
            r.incr("w")
        p.multi()
        p.set("w", value + 100)

    r.transaction(bump, "w")
    equal((len(attempts), r.get("w")), (2, "111"), "transaction() retries")


def pubsub(r):
    p = r.pubsub()
    p.subscribe("ch")
    p.psubscribe("pat.*")
    kinds = [p.get_message(timeout=5)["type"] for _ in range(2)]
    equal(kinds, ["subscribe", "psubscribe"], "subscribing")
    equal(r.publish("ch", "hello"), 1, "publish")
    message = p.get_message(timeout=5)
    equal((message["type"], message["channel"], message["data"]), ("message", "ch", "hello"), "a message")
    r.publish("pat.x", "y")
    message = p.get_message(timeout=5)
    equal((message["type"], message["pattern"], message["data"]), ("pmessage", "pat.*", "y"), "a pattern message")
    p.ping()
    p.unsubscribe("ch")
    p.punsubscribe()
    p.close()

    received, done = [], threading.Event()

    def on_message(message):
        received.append(message["data"])
        if message["data"] == "last":
            done.set()

    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe(**{"news": on_message})
    listener = p.run_in_thread(sleep_time=0.01, daemon=True)
    deadline = time.monotonic() + 5
    while r.pubsub_numsub("news")[0][1] < 1:
        check(time.monotonic() < deadline, "the listener subscribes")
    for data in ("one", "two", "last"):
        r.publish("news", data)
    check(done.wait(5), "the listener gets the last message")
    equal(received, ["one", "two", "last"], "messages come in order")
    listener.stop()
    listener.join()
    p.close()


def locks(r):
    lock = r.lock("lock", timeout=10, blocking_timeout=1)
    check(lock.acquire(), "lock")
    check(not r.lock("lock", timeout=10).acquire(blocking=False), "a held lock")
    check(lock.extend(5), "extend")
    check(lock.owned(), "owned")
    lock.release()
    try:
        lock.release()
        check(False, "releasing twice must fail")
    except LockError:
        check(True, "")
    with r.lock("lock", timeout=5):
        check(r.exists("lock"), "lock as a context")
    check(not r.exists("lock"), "the lock is gone")


def scripts(r):
    script = r.register_script("return {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}")
    equal(script(keys=["count"], args=["x"]), ["count", "x", 1], "a registered script")
    r.script_flush()
    equal(script(keys=["count"], args=["y"]), ["count", "y", 2], "after SCRIPT FLUSH")
    with r.pipeline() as p:
        script(keys=["count"], args=["z"], client=p)
        p.get("count")
        equal(p.execute(), [["count", "z", 3], "3"], "a script in a transaction")
    equal(r.eval("return {1, {2, 'x'}}", 0), [1, [2, "x"]], "nested tables")
    try:
        r.evalsha("f" * 40, 0)
        check(False, "an unknown script must fail")
    except NoScriptError:
        check(True, "")
    r.set("cached", "old")
    equal(r.get("cached"), "old", "get")
    if CLUSTER:
        r.eval("return redis.call('SET', KEYS[1], 'new')", 1, "cached")
    else:
        r.eval("return redis.call('SET', 'cached', 'new')", 0)
    equal(r.get("cached"), "new", "a script's write is seen")


def streams(r):
    first = r.xadd("st", {"a": 1})
    r.xadd("st", {"b": 2})
    equal(r.xlen("st"), 2, "xlen")
    equal(r.xrange("st")[0], (first, {"a": "1"}), "xrange")
    r.xgroup_create("st", "g", id="0")
    read = r.xreadgroup("g", "me", {"st": ">"}, count=10)
    entries = dict(read)["st"] if not isinstance(read, dict) else read["st"][0]
    equal(len(entries), 2, "xreadgroup")
    equal(r.xpending("st", "g")["pending"], 2, "xpending")
    equal(r.xack("st", "g", first), 1, "xack")
    equal(r.xinfo_stream("st")["length"], 2, "xinfo")
    equal(r.xreadgroup("g", "me", {"st": ">"}, block=20) or None, None, "xreadgroup with nothing new")


def scans(r):
    r.flushdb()
    with r.pipeline(transaction=False) as p:
        for n in range(500):
            p.set(f"scan:{n}", n)
        p.hset("h", mapping={str(n): n for n in range(300)})
        p.execute()
    equal(len(set(r.scan_iter(match="scan:*", count=50))), 500, "scan_iter")
    equal(len(dict(r.hscan_iter("h", count=50))), 300, "hscan_iter")


def blocking(r, protocol):
    equal(r.blpop("queue", timeout=0.05), None, "blpop with nothing there")
    with connect(protocol) as other:
        popped = []
        waiter = threading.Thread(target=lambda: popped.append(other.blpop(["queue"], timeout=10)))
        waiter.start()
        deadline = time.monotonic() + 5
        while not any(c["cmd"] == "blpop" for c in r.client_list()):
            check(time.monotonic() < deadline, "client_list shows the blocked client")
        equal(r.get("other"), None, "others go on while one waits")
        r.rpush("queue", "job")
        waiter.join(5)
        equal([tuple(p) for p in popped], [("queue", "job")], "blpop woken by a push")
    a, b = together("a"), together("b")
    r.rpush(a, 1, 2)
    equal(r.blmove(a, b, 1), "1", "blmove")
    equal(tuple(r.brpop(a, 1)), (a, "2"), "brpop")


def monitor(r, protocol):
    with connect(protocol) as other, other.monitor() as m:
        r.set("seen", "1")
        for command in m.listen():
            if "seen" in command["command"]:
                check(command["command"].startswith("SET seen"), "monitor")
                break


def many_threads(protocol):
    pool = redis.ConnectionPool(
        host=HOST, port=PORT, protocol=protocol, decode_responses=True, max_connections=50, socket_timeout=10
    )
    r = redis.Redis(connection_pool=pool)
    total = together("total")
    r.delete(total)
    errors = []

    def work(me):
        try:
            for n in range(20):
                key = together(f"thread:{me}:{n % 3}")
                r.set(key, f"{me}-{n}")
                equal(r.get(key), f"{me}-{n}", "each thread reads what it wrote")
                with r.pipeline() as p:
                    p.incr(total).set(key, "tx").get(key)
                    equal(p.execute()[2], "tx", "a transaction per thread")
                equal(r.get(key), "tx", "a read after its transaction")
        except Exception as error:  # reported by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not errors, f"threads: {errors[:1]!r}")
    equal(r.get(total), "1000", "50 threads count together")
    pool.disconnect()


async def asyncio_life(protocol):
    r = aioredis.Redis(host=HOST, port=PORT, protocol=protocol, decode_responses=True, socket_timeout=10)
    await r.flushall()
    equal(await r.set("k", "v"), True, "asyncio set")
    equal(await r.get("k"), "v", "asyncio get")
    values = await asyncio.gather(*(r.incr("n") for _ in range(80)))
    equal(sorted(values), list(range(1, 81)), "80 concurrent tasks")
    async with r.pipeline(transaction=True) as p:
        equal(await p.set("t", 1).incr("t").execute(), [True, 2], "asyncio transaction")
    async with r.pipeline(transaction=False) as p:
        equal(await p.get("t").get("missing").execute(), ["2", None], "asyncio pipeline")
    async with r.pubsub() as p:
        await p.subscribe("ch")
        equal((await p.get_message(timeout=5))["type"], "subscribe", "asyncio subscribe")
        await r.publish("ch", "hi")
        equal((await p.get_message(timeout=5))["data"], "hi", "asyncio message")
    waiter = asyncio.create_task(r.blpop(["aq"], timeout=10))
    await r.get("k")
    await r.rpush("aq", "x")
    equal(tuple(await waiter), ("aq", "x"), "asyncio blpop")
    async with r.lock("alock", timeout=5):
        check(await r.exists("alock"), "asyncio lock")
    equal({k async for k in r.scan_iter(match="k*")}, {"k"}, "asyncio scan_iter")
    await r.aclose()


def main():
    for protocol in (2, 3):
        with connect(protocol) as r:
            basics(r)
            binary(protocol)
            server_facts(r)
            client_names(protocol)
            if not CLUSTER:
                databases(protocol)
            pipelines(r)
            watching(r)
            pubsub(r)
            locks(r)
            scripts(r)
            streams(r)
            scans(r)
            blocking(r, protocol)
            monitor(r, protocol)
        many_threads(protocol)
        asyncio.run(asyncio_life(protocol))
    print(f"redis-py {redis.__version__}: {checks} checks")


main()

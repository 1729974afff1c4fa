"""redis-py's RedisCluster, sync and asyncio, against a Respite that is announced as a cluster of one node.

Runs against RESPITE_HOST and RESPITE_PORT. Fails on the first wrong answer and prints how many checks held.
"""

import asyncio
import os

from redis.asyncio.cluster import RedisCluster as AsyncCluster
from redis.cluster import RedisCluster

HOST = os.environ.get("RESPITE_HOST", "127.0.0.1")
PORT = int(os.environ["RESPITE_PORT"])

checks = 0


def equal(actual, expected, what):
    """Counts one check; a false one ends the run."""
    global checks
    checks += 1
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r} is not {expected!r}")


def sync(protocol):
    r = RedisCluster(host=HOST, port=PORT, protocol=protocol, decode_responses=True)
    equal([node.name for node in r.get_nodes()], [f"{HOST}:{PORT}"], "the nodes")
    for n in range(100):
        equal(r.set(f"k:{n}", n), True, "set")
    for n in range(100):
        equal(r.get(f"k:{n}"), str(n), "get")
    equal(r.hset("h", mapping={"a": 1, "b": 2}) in (0, 2), True, "hset")
    equal(r.hgetall("h"), {"a": "1", "b": "2"}, "hgetall")
    equal(r.mset_nonatomic({"{m}a": 1, "{m}b": 2}), [True], "mset")
    equal(r.mget_nonatomic("{m}a", "{m}b", "k:1"), ["1", "2", "1"], "mget")
    equal(r.eval("return {KEYS[1], ARGV[1]}", 1, "k:1", "x"), ["k:1", "x"], "eval")
    pipe = r.pipeline()
    for n in range(500):
        pipe.set(f"p:{n}", n).get(f"p:{n}")
    replies = pipe.execute()
    equal(replies, [v for n in range(500) for v in (True, str(n))], "pipeline")
    equal(r.cluster_keyslot("foo"), 12182, "keyslot")
    equal(r.cluster_countkeysinslot(r.keyslot("{m}a")) >= 2, True, "countkeysinslot")
    equal(sorted(r.cluster_get_keys_in_slot(r.keyslot("{m}a"), 10)), ["{m}a", "{m}b"], "getkeysinslot")
    equal(r.cluster_info(target_nodes=RedisCluster.RANDOM)["cluster_state"], "ok", "cluster info")
    equal(list(r.cluster_nodes()), [f"{HOST}:{PORT}"], "cluster nodes")
    equal(len(r.cluster_shards()), 1, "cluster shards")
    equal(r.info("cluster")["cluster_enabled"], 1, "info")
    pubsub = r.pubsub()
    pubsub.subscribe("news")
    equal(pubsub.get_message(timeout=5)["type"], "subscribe", "subscribe")
    equal(r.publish("news", "x"), 1, "publish")
    equal(pubsub.get_message(timeout=5)["data"], "x", "a message")
    pubsub.close()
    r.close()
    # Reading from replicas: there are none, and READONLY is taken.
    r = RedisCluster(host=HOST, port=PORT, protocol=protocol, read_from_replicas=True, decode_responses=True)
    equal(r.get("k:5"), "5", "get, from a replica if there is one")
    r.close()


async def asynchronous(protocol):
    r = AsyncCluster(host=HOST, port=PORT, protocol=protocol, decode_responses=True)
    await r.initialize()
    values = await asyncio.gather(*(r.get(f"k:{n}") for n in range(100)))
    equal(values, [str(n) for n in range(100)], "gets at the same time")
    pipe = r.pipeline()
    for n in range(100):
        pipe.incr(f"n:{protocol}:{n}")
    equal(len(await pipe.execute()), 100, "pipeline")
    await r.aclose()


for version in (2, 3):
    sync(version)
    asyncio.run(asynchronous(version))
print(f"redis_cluster_py: {checks} checks")

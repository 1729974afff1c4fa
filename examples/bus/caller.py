"""Calls the two services beside this file.

python caller.py --port 7379
"""

import argparse

import redis

parser = argparse.ArgumentParser(description="Calls the examples of the bus")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=7379)
arguments = parser.parse_args()
client = redis.Redis(arguments.host, arguments.port, protocol=3, decode_responses=True)


def call(bus, method, *args, **kwargs):
    words = ["ARGS", *args] if args else ["KWARGS", *(word for pair in kwargs.items() for word in pair)]
    return client.execute_command("BUS.CALL", bus, method, *words)


print("uuid        ", call("rng", "uuid"))
print("password    ", call("rng", "password"))
print("password(20)", call("rng", "password", length=20))
print("sum(1, 2)   ", call("simple_math", "sum", 1, 2))
print("now(1)      ", call("simple_math", "now", 1))
print("now(1)      ", call("simple_math", "now", seed=1))
for method in client.execute_command("BUS.STATS", "simple_math"):
    print(f"{method['method']}: {method['calls']} calls, {method['cache_hits']} from the cache")

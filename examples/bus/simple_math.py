"""A service with cached results: sum(a, b) is one call for both ways to write it, now(seed) one per seed.

python simple_math.py --port 7379
redis-cli -p 7379 BUS.CALL simple_math sum KWARGS b 2 a 1
"""

import time

from service import Service

service = Service("simple_math")


@service.method("PARAMS", 2, "a", "b", "CACHE", "{a}/{b}")
def sum(a, b):
    return int(a) + int(b)


@service.method("PARAMS", 1, "seed", "CACHE", "{seed}")
def now(seed):
    return time.time_ns()


service.run()

"""A caller in asyncio (redis-py): many calls at a time, and what an error means. python caller_asyncio.py --port 7379 hello world"""

import argparse
import asyncio

from redis.asyncio import Redis
from redis.exceptions import ResponseError


async def call(redis, word):
    try:
        return (await redis.execute_command("BUS.CALL", "text", "shout", "TIMEOUT", 5000, "PAYLOAD", word)).decode()
    except ResponseError as error:
        # NOWORKER, BUSY: nobody had it. WORKERLOST, DEADLINE: somebody may have. BUSFAIL: the worker says no.
        return f"{word}: {error}"


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7379)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    async with Redis(host=options.host, port=options.port, protocol=3) as redis:
        for result in await asyncio.gather(*(call(redis, word) for word in options.words)):
            print(result)


asyncio.run(main())

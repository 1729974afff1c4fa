"""A worker in asyncio (redis-py): eight calls at a time, a graceful stop. python worker_asyncio.py --port 7379"""

import argparse
import asyncio
import os
import signal
import socket

from redis.asyncio import Redis


async def shout(call):
    await asyncio.sleep(0.01)  # the work
    return call[b"payload"].upper()


async def work(options, number, stopping):
    # A connection of its own: a call is lost when the connection that fetched it closes.
    async with Redis(host=options.host, port=options.port, protocol=3, single_connection_client=True) as redis:
        name = f"{socket.gethostname()}-{os.getpid()}-{number}"
        while not stopping.is_set():
            await redis.execute_command("BUS.REGISTER", "text", "shout")  # the same again changes nothing
            for call in await redis.execute_command("BUS.FETCH", "text", name, "shout", "TIMEOUT", 1000) or []:
                which = ("text", call[b"id"], call[b"token"])
                try:
                    await redis.execute_command("BUS.REPLY", *which, await shout(call))
                except Exception as error:  # whatever it is, the caller is to know
                    await redis.execute_command("BUS.FAIL", *which, type(error).__name__, str(error))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7379)
    options, stopping = parser.parse_args(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # What is in hand is finished; a fetch ends within its second.
    await asyncio.gather(*(work(options, number, stopping) for number in range(8)))


asyncio.run(main())

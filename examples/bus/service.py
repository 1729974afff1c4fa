"""A worker of Respite's bus in a few lines of redis-py: methods are functions, the bus is their service.

    service = Service("mathematics")

    @service.method("PARAMS", 2, "a", "b", "CACHE", "{a}/{b}")
    def sum(a, b):
        return float(a) + float(b)

    service.run()
"""

import argparse
import os
import signal
import socket
import time

import redis


class Service:
    """The methods of one bus, and the loop that works for them."""

    def __init__(self, bus):
        self.bus = bus
        self.methods = {}
        self.options = {}
        self.stopping = False

    def method(self, *options):
        """Registers a function under its name, with the options of BUS.REGISTER."""

        def register(function):
            self.methods[function.__name__] = function
            self.options[function.__name__] = options
            return function

        return register

    def run(self):
        """Works until SIGTERM or Ctrl-C."""
        parser = argparse.ArgumentParser(description=f"A worker of the bus {self.bus}")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=7379)
        arguments = parser.parse_args()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "stopping", True))
        # One connection: a call is lost when the connection that fetched it closes.
        client = redis.Redis(arguments.host, arguments.port, protocol=3, single_connection_client=True)
        worker = f"{socket.gethostname()}-{os.getpid()}"
        registered = float("-inf")
        while not self.stopping:
            if time.monotonic() - registered > 5:
                # Now and then again: the same options change nothing, and a Redis may have lost its data.
                for name, options in self.options.items():
                    client.execute_command("BUS.REGISTER", self.bus, name, *options)
                registered = time.monotonic()
            calls = client.execute_command(
                "BUS.FETCH", self.bus, worker, *self.methods, "TIMEOUT", 1000
            )
            for call in calls or []:
                self.work(client, call)

    def work(self, client, call):
        """Carries out one call."""
        which = (self.bus, call[b"id"], call[b"token"])
        try:
            arguments = [argument.decode() for argument in call[b"args"]]
            result = self.methods[call[b"method"].decode()](*arguments)
        except Exception as error:  # whatever it is, the caller is to know
            client.execute_command("BUS.FAIL", *which, type(error).__name__, str(error))
        else:
            client.execute_command("BUS.REPLY", *which, str(result))

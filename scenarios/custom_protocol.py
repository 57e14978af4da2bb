"""Anything can be measured: here a line-based TCP protocol, one persistent connection a user.

loadgen run scenarios/custom_protocol.py -H tcp://localhost:7000

A failure is an exception: what happens inside `measure` is recorded and then raised on.
"""

import socket
from urllib.parse import urlsplit

from loadgen import User, between, task


class LineClient:
    """One connection; a request is a line, and so is its answer. Sockets let other users run while they wait."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=5)
        self.lines = self.socket.makefile("r", newline="\n")

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.lines.readline().rstrip("\n")

    def close(self):
        self.lines.close()
        self.socket.close()


class LineUser(User):
    wait_time = between(0.05, 0.2)

    def on_start(self):
        address = urlsplit(self.host)
        with self.measure("LINE", "connect"):
            self.line = LineClient(address.hostname, address.port)

    @task
    def ping(self):
        with self.measure("LINE", "ping"):
            answer = self.line.ask("ping")
        self.check("the echo is what was sent", answer == "ping")

    def on_stop(self):
        self.line.close()

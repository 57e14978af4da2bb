"""What a connected, idle virtual user costs: memory, CPU to spawn and connect it, and how many a second can come.

Each user sends one request on its own connection and then waits for an hour. Two runs, one with few users and one
with many, differ by the cost of the users alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.results import Bound, Row
from benchmarks.running import Running, Trouble, running
from benchmarks.tools import LOADGEN, WRK, Load, Tool
from tests.support.nginx import Nginx

FEW = 100
MANY = 10_000
SPAWN_RATE = 1_000_000  # as fast as it goes


@dataclass(frozen=True, slots=True)
class Crowd:
    """A generator with all its users connected and idle."""

    rss_bytes: int
    cpu_ns: int
    spawned_per_s: float


def measure(server: Nginx, peers: Sequence[Tool], rounds: int, many: int, say: Callable[[str], None]) -> list[Row]:
    """Memory, CPU and spawn rate; wrk has no users to compare with."""
    memory = Row("connected idle user", "KiB", (Bound(14),))
    cpu = Row("connected idle user: spawn, connect, first request", "CPU µs", (Bound(140),))
    speed = Row("users spawned and connected by one worker", "1/s", (Bound(6_000, at_least=True),))
    for number in range(rounds):
        for tool in (LOADGEN, *(peer for peer in peers if peer is not WRK)):
            say(f"round {number + 1} of {rounds}: {many:,} idle users, {tool.name}")
            try:
                few, crowd = gather(tool, FEW, server), gather(tool, many, server)
            except Trouble as trouble:
                memory.notes.append(f"{tool.name}: {trouble}")
                continue
            memory.add(tool.name, (crowd.rss_bytes - few.rss_bytes) / 1024 / (many - FEW))
            cpu.add(tool.name, (crowd.cpu_ns - few.cpu_ns) / 1000 / (many - FEW))
            speed.add(tool.name, crowd.spawned_per_s)
    return [memory, cpu, speed]


def gather(tool: Tool, users: int, server: Nginx) -> Crowd:
    """`users` users connected; CPU and memory when all of them are."""
    load = Load(server.http_url, "/", users, server.ca_file, spawn_rate=SPAWN_RATE, stay_idle=True)
    with running(tool, load, server) as crowd:
        speed = spawn_speed(crowd, users)
        ended = crowd.sample()
        if server.connected() < users:
            raise Trouble(f"{server.connected():,} of {users:,} connections are open: {crowd.said()}")
    return Crowd(ended.rss_bytes, ended.cpu_ns, speed)


def spawn_speed(crowd: Running, users: int) -> float:
    """Users per second between the first and the last tenth, as the server saw their first requests."""
    crowd.wait_for_requests(users // 10)
    crowd.settle()
    begun, began_at = crowd.requests(), time.monotonic()
    crowd.wait_for_requests(users * 9 // 10)
    speed = (crowd.requests() - begun) / (time.monotonic() - began_at)
    crowd.wait_for_requests(users)
    return speed

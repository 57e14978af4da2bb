"""CPU microseconds of the generator per request, each kind of request asked of every tool in turn.

nginx has one core, the generator the other. Both figures of a window, CPU used and requests served, are differences
between two moments of a run that is long under way, so start-up costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.results import Bound, Row
from benchmarks.running import Trouble, running
from benchmarks.tools import CLIENT, LOADGEN, Load, Tool
from tests.support.nginx import Nginx

USERS = 64
WARM_UP_REQUESTS = 3_000
WARM_UP_S = 0.7
BUSY = 0.7  # a generator that waits wakes up for fewer answers at a time, and costs more for each


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    path: str
    https: bool = False
    new_connections: bool = False
    bounds: tuple[Bound, ...] = ()


KINDS = (
    Kind("GET", "/", bounds=(Bound(2.0, "wrk"), Bound(5, "Locust", at_least=True))),
    Kind("GET, 4 KiB of JSON", "/4k.json"),
    Kind("HTTPS GET", "/", https=True, bounds=(Bound(2.0, "wrk"),)),
    Kind("HTTPS GET, new connection each", "/", https=True, new_connections=True),
)


def measure(server: Nginx, peers: Sequence[Tool], rounds: int, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """One row a kind of request; in each round every tool is asked once, so that a slow minute hits all of them."""
    rows = [Row(kind.name, "CPU µs/request", kind.bounds) for kind in KINDS]
    for number in range(rounds):
        for kind, row in zip(KINDS, rows, strict=True):
            for tool in (LOADGEN, CLIENT, *peers):
                say(f"round {number + 1} of {rounds}: {kind.name}, {tool.name}")
                try:
                    window = one_window(tool, kind, server, seconds)
                except Trouble as trouble:
                    row.notes.append(f"{tool.name}: {trouble}")
                    continue
                row.add(tool.name, window.us_per_request)
                if window.busy < BUSY:
                    row.notes.append(f"{tool.name}: its core only {window.busy:.0%} busy in round {number + 1}")
    return rows


@dataclass(frozen=True, slots=True)
class Window:
    """`busy` is the share of the window in which the generator ran: below 1 it waited for the server."""

    us_per_request: float
    busy: float


def one_window(tool: Tool, kind: Kind, server: Nginx, seconds: float) -> Window:
    """The generator's CPU over `seconds` of a warm run."""
    base = server.https_url if kind.https else server.http_url
    load = Load(base, kind.path, USERS, server.ca_file, new_connections=kind.new_connections)
    with running(tool, load, server) as tool_running:
        tool_running.wait_for_requests(WARM_UP_REQUESTS)
        tool_running.settle()
        time.sleep(WARM_UP_S)
        first = tool_running.sample()
        time.sleep(seconds)
        last = tool_running.sample()
        said = tool_running.said()
    if last.requests == first.requests:
        raise Trouble(f"no requests in {seconds} s: {said}")
    spent_ns = last.cpu_ns - first.cpu_ns
    return Window(spent_ns / 1000 / (last.requests - first.requests), spent_ns / 1e9 / (last.at_s - first.at_s))

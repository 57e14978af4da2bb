"""Deadlines without a timer per request: one reaper looks at all connections, seldom.

It wakes when the earliest deadline can expire: the earliest of those running now, or the shortest one
anybody uses, counted from now, for requests that start in between. So with the default of 10 s and more it
looks a few times a minute, and a deadline is kept to within GRAIN_NS whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic_ns
from typing import Any

from loadgen.http.connection import Connection

GRAIN_NS = 50_000_000
LONGEST_SLEEP_NS = 60_000_000_000


def next_look_ns(now_ns: int, running: Iterable[int], shortest_ns: int) -> int:
    """When to look next, given the deadlines that are running and the shortest one that may be set anew."""
    earliest = min(running, default=now_ns + LONGEST_SLEEP_NS)
    return max(min(earliest, now_ns + shortest_ns, now_ns + LONGEST_SLEEP_NS), now_ns + GRAIN_NS)


class Reaper:
    """Throws the right timeout into whoever waits on a connection whose deadline has passed."""

    def __init__(self, hub: Any, connections: set[Connection]) -> None:
        self._hub = hub
        self._connections = connections
        self._shortest_ns = LONGEST_SLEEP_NS
        self._look_at_ns = 0  # 0 = not armed
        self._timer: Any = None

    def expect(self, shortest_ns: int) -> None:
        """From now on a deadline may be set that expires `shortest_ns` later."""
        if shortest_ns < self._shortest_ns or not self._look_at_ns:
            self._shortest_ns = min(shortest_ns, self._shortest_ns)
            now_ns = monotonic_ns()
            if not self._look_at_ns or self._look_at_ns > now_ns + self._shortest_ns:
                self._arm(now_ns, now_ns + max(self._shortest_ns, GRAIN_NS))

    def close(self) -> None:
        """Stop looking; the next `expect` begins anew."""
        self._look_at_ns = 0
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _arm(self, now_ns: int, at_ns: int) -> None:
        self.close()
        self._look_at_ns = at_ns
        self._timer = self._hub.loop.timer((at_ns - now_ns) / 1e9, ref=False)
        self._timer.start(self._look, update=True)

    def _look(self) -> None:
        now_ns = monotonic_ns()
        # Also those that nobody waits on now (a name is looked up, an upload made): somebody may, before the next look.
        in_use = [c for c in self._connections if c.served < 0 or c.reader is not None]
        self._arm(now_ns, next_look_ns(now_ns, (c.deadline_ns for c in in_use if c.deadline_ns > now_ns),
                                       self._shortest_ns))  # fmt: skip
        for connection in in_use:
            if connection.deadline_ns <= now_ns and connection.greenlet is not None:
                connection.interrupt(connection.timeout(now_ns))

"""Time as a parameter, so that tests and the simulator own it.

Durations come from the monotonic clock only; the wall clock is for display.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the deciding parts may know of time."""

    def now_ns(self) -> int:
        """Nanoseconds on a clock that never steps; only differences mean anything."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970, for display only."""
        ...


class SystemClock:
    """The machine's clocks. `now_ns` is CLOCK_MONOTONIC, the same for all processes of a machine."""

    now_ns = staticmethod(time.monotonic_ns)
    wall_s = staticmethod(time.time)


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ns: int = 0, wall_s: float = 1_000_000_000.0) -> None:
        self._now_ns = now_ns
        self._wall_s = wall_s

    def now_ns(self) -> int:
        return self._now_ns

    def wall_s(self) -> float:
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now_ns += round(seconds * 1e9)
        self._wall_s += seconds

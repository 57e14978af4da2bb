"""What a run looked like over time, as the screen saw it: for sparklines and for the reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadgen.metrics.snapshot import RunState, Snapshot

_MOST = 1_200  # moments kept; when full, every other one goes and the step doubles
_LOOK_BACK_S = 2.0
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Moment:
    """The live window at one moment; latencies in µs, rates per second. `failing` is the share of the last 2 s."""

    at_s: float
    users: int
    rps: float
    failing: float
    p50_us: float | None
    p95_us: float | None


class History:
    """Moments of the run's loaded part in order, at most 1,200 of them however long it runs."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self._step_s = 0.0
        self._totals: deque[tuple[float, int, int]] = deque()  # (at_s, requests, failures) of the last seconds

    def add(self, snapshot: Snapshot) -> None:
        """Remember this snapshot's window, unless the run is not loading or it is too soon."""
        if snapshot.state not in (RunState.RAMPING, RunState.RUNNING) or snapshot.window.seconds <= 0:
            return
        if self.moments and snapshot.elapsed_s < self.moments[-1].at_s + max(self._step_s, 1e-6):
            return
        now, failing = snapshot.window, self._failing(snapshot)
        self.moments.append(Moment(snapshot.elapsed_s, snapshot.users, now.rps, failing, now.p50_us, now.p95_us))
        if len(self.moments) >= _MOST:
            self._step_s = 2 * (self.moments[-1].at_s - self.moments[0].at_s) / len(self.moments)
            del self.moments[1::2]

    def _failing(self, snapshot: Snapshot) -> float:
        """The share of failures since two seconds ago: sharper than the window, which smears a burst."""
        totals = self._totals
        totals.append((snapshot.elapsed_s, snapshot.totals.requests, snapshot.totals.failures))
        while len(totals) > 2 and totals[1][0] <= snapshot.elapsed_s - _LOOK_BACK_S:
            totals.popleft()
        _, requests, failures = totals[0]
        sent = snapshot.totals.requests - requests
        return (snapshot.totals.failures - failures) / sent if sent > 0 else 0.0


def sparkline(values: Sequence[float], columns: int) -> str:
    """The values as bars from zero to their maximum, at most `columns` of them, newest at the right.

    More values than columns: each bar is the largest of its share, so a short burst stays visible.
    """
    if not values or columns <= 0:
        return ""
    top = max(values)
    return "".join(_bar(value / top if top > 0 else 0.0) for value in _fit(values, columns))


def _fit(values: Sequence[float], columns: int) -> list[float]:
    size = len(values)
    if size <= columns:
        return list(values)
    return [max(values[size * i // columns : size * (i + 1) // columns]) for i in range(columns)]


def _bar(ratio: float) -> str:
    """The lowest bar is for nothing at all, so that a few failures can be told from none."""
    return _BARS[min(len(_BARS) - 1, 1 + int(ratio * (len(_BARS) - 1)))] if ratio > 0 else _BARS[0]


def column(moments: Sequence[Moment], value: Callable[[Moment], float | None]) -> list[float]:
    """One value of each moment, 0 where there is none."""
    return [value(moment) or 0.0 for moment in moments]

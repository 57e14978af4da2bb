"""How well this worker is doing, so that a saturated generator is never blamed on the target.

CPU of this process in percent of one core, hub lag (how late a 50 ms timer fires), resident memory,
and the time for which the container's CPU quota held us back. A sample covers one window.
"""

from __future__ import annotations

import resource
from pathlib import Path

import gevent

from loadgen.clock import Clock
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram

_TICK_S = 0.05
_SHORTEST_S = 0.5  # over less, CPU time is mostly rounding and start-up of the seal itself
_CGROUP_STAT = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))


class HealthMonitor:
    """`take` gives what happened since the last `take`. `start` spawns the greenlet that measures lag."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lag = Histogram()
        self._wall_ns = clock.now_ns()
        self._cpu_s = _cpu_s()
        self._cpu_percent = 0.0  # over the newest window that was long enough
        self._throttled_us = throttled_us()
        self._ticker: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        self._ticker = gevent.spawn(self._tick)

    def restart(self) -> None:
        """Forget what was before: the first window begins now."""
        self._wall_ns, self._cpu_s = self._clock.now_ns(), _cpu_s()
        self._throttled_us, self._lag = throttled_us(), Histogram()

    def close(self) -> None:
        if self._ticker is not None:
            self._ticker.kill()

    def _tick(self) -> None:
        while True:
            before_ns = self._clock.now_ns()
            gevent.sleep(_TICK_S)
            late_us = (self._clock.now_ns() - before_ns) // 1000 - int(_TICK_S * 1e6)
            self._lag.add(max(0, late_us))

    def take(self, generator_errors: int) -> Health:
        """The health of the window that ends now."""
        self._measure_cpu()
        throttled = throttled_us()
        health = Health(
            cpu_percent=self._cpu_percent,
            rss_bytes=_rss_bytes(),
            throttled_us=throttled - self._throttled_us,
            lag=self._lag,
            generator_errors=generator_errors,
        )
        self._throttled_us, self._lag = throttled, Histogram()
        return health

    def _measure_cpu(self) -> None:
        now_ns, cpu_s = self._clock.now_ns(), _cpu_s()
        wall_s = (now_ns - self._wall_ns) / 1e9
        if wall_s >= _SHORTEST_S:
            self._cpu_percent = 100 * (cpu_s - self._cpu_s) / wall_s
            self._wall_ns, self._cpu_s = now_ns, cpu_s


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rss_bytes() -> int:
    """Resident memory now, or its highest value so far where /proc is missing."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def throttled_us() -> int:
    """Microseconds for which the cgroup's CPU quota stopped us since it was made; 0 where there is none."""
    for path in _CGROUP_STAT:
        try:
            fields = dict(line.split() for line in path.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if "throttled_usec" in fields:
            return int(fields["throttled_usec"])
        return int(fields.get("throttled_time", 0)) // 1000
    return 0

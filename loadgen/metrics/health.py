"""How one worker process fared in one window: the base of every judgement about the generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadgen.metrics.histogram import Histogram

SATURATED_CPU_PERCENT = 90.0
"""CPU of one core from which on requests queue inside the worker: its hub has no slack left."""

SATURATED_LAG_MS = 50.0
"""Hub lag from which on the worker's own delay is as large as many latencies it measures."""


@dataclass(frozen=True, slots=True)
class Health:
    """Values of one window, measured by the worker itself.

    `lag` holds how late the hub ran a regular timer (µs): what every measured latency may contain
    of our own delay. `throttled_us` is the time the container's CPU limit stood in the way.
    """

    cpu_percent: float = 0.0  # of one core; above 100 is possible only with native threads
    rss_bytes: int = 0
    throttled_us: int = 0
    lag: Histogram = field(default_factory=Histogram)
    generator_errors: int = 0  # EMFILE, EADDRNOTAVAIL, …

    @property
    def saturated(self) -> bool:
        """Whether latencies of this window contain delay of the worker itself."""
        if self.cpu_percent >= SATURATED_CPU_PERCENT:
            return True
        highest_us = self.lag.highest_us()
        if highest_us < SATURATED_LAG_MS * 1000:
            return False
        return (self.lag.percentile(0.99, 0, highest_us) or 0.0) >= SATURATED_LAG_MS * 1000

"""How one worker process fared in one window: the base of every judgement about the generator."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadgen.metrics.histogram import Histogram


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

"""What is kept of latencies of one kind between two seals, and how kinds are told apart.

Everything a kind holds is merged by addition (and min, max). That is why samples with a queue wait
have rows of their own, once by service time and once by response time: service = plain + waited
service, response = plain + waited response, on every level, without a single subtraction.
"""

from __future__ import annotations

from enum import IntEnum

NO_MIN_US = 1 << 62  # min of nothing; larger than any duration
LONGEST_US = 1 << 40  # 12.7 days; keeps every sum inside 64 bits, whatever a scenario hands in


class Kind(IntEnum):
    """What the samples of one row are. The values travel on the wire and are never reused."""

    OK = 0  # successful, started on time: response time == service time
    FAILED = 1
    CANCELLED = 2  # stopped in flight: counted, no latency kept
    OK_WAITED_SERVICE = 3  # successful, started late: by service time …
    OK_WAITED_RESPONSE = 4  # … and the same samples by response time
    FAILED_WAITED_SERVICE = 5
    FAILED_WAITED_RESPONSE = 6


KINDS = len(Kind)
KIND_SLOTS = 8  # room per series in packed keys: key = series id * KIND_SLOTS + kind

COUNTED_KINDS = frozenset(
    {Kind.OK, Kind.FAILED, Kind.CANCELLED, Kind.OK_WAITED_SERVICE, Kind.FAILED_WAITED_SERVICE}
)  # each request is in exactly one of these rows


class Tally:
    """Samples of one kind since the last seal, and what was sealed before (for the audit).

    Series.ok writes these fields directly (one call less on the hot path), in the way `add` does.
    The number of samples is the sum of the buckets, so it is not counted twice.
    """

    __slots__ = ("buckets", "bytes", "max_us", "min_us", "sealed_count", "sealed_sum_us", "sum_us")

    def __init__(self) -> None:
        self.sealed_count = 0
        self.sealed_sum_us = 0
        self.reset()

    def reset(self) -> None:
        self.buckets: dict[int, int] = {}
        self.bytes = 0
        self.sum_us = 0
        self.min_us = NO_MIN_US
        self.max_us = 0

    def add(self, us: int, size: int) -> None:
        """One sample. Durations outside 0 … LONGEST_US are clamped."""
        if us < self.min_us:
            us = max(us, 0)
            self.min_us = us
        if us > self.max_us:
            us = min(us, LONGEST_US)
            self.max_us = us
        self.sum_us += us
        self.bytes += size
        shift = us.bit_length() - 8
        index = us if shift <= 0 else (shift << 7) + (us >> shift)
        self.buckets[index] = self.buckets.get(index, 0) + 1  # above BUCKETS is folded when sealed

"""How far the master's clock is ahead of ours, from the frames we exchange anyway.

As in NTP (RFC 5905 §8): with T1 = our send, T2 = master's receipt, T3 = master's send and T4 = our
receipt, offset = ((T2 - T1) + (T3 - T4)) / 2, off by at most half the round trip
(T4 - T1) - (T3 - T2). So the sample with the shortest round trip of the last few is the best.
"""

from __future__ import annotations

from collections import deque

_SAMPLES = 16


class ClockSync:
    """`offset_ns` = master's monotonic clock minus ours; 0 until the first sample."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)  # (round trip, offset)

    def add(self, sent_ns: int, received_ns: int, answered_ns: int, arrived_ns: int) -> None:
        """One exchange: T1 … T4 as in the module's docstring. Impossible ones are ignored."""
        round_trip = (arrived_ns - sent_ns) - (answered_ns - received_ns)
        if round_trip >= 0 and arrived_ns >= sent_ns:
            self._samples.append((round_trip, ((received_ns - sent_ns) + (answered_ns - arrived_ns)) // 2))

    @property
    def is_known(self) -> bool:
        """Whether there was a sample yet."""
        return bool(self._samples)

    @property
    def offset_ns(self) -> int:
        return min(self._samples)[1] if self._samples else 0

    @property
    def error_ns(self) -> int:
        """The offset is wrong by at most this much."""
        return min(self._samples)[0] // 2 if self._samples else 0

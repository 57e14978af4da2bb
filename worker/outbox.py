"""Sealed deltas on their way to the master: numbered, kept until acknowledged.

Never drop, coarsen: while WINDOW deltas are unacknowledged nothing more is sealed, and what users go
on measuring stays in the recorder, as one longer window. So memory is bounded however long the
master is away, and no measurement is lost.
"""

from __future__ import annotations

from collections import deque

WINDOW = 4


class Outbox:
    """Deltas 1, 2, 3, … of one worker in one run; at most WINDOW of them unacknowledged."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._last = 0

    @property
    def last_seq(self) -> int:
        """The number of the newest delta, 0 before the first."""
        return self._last

    @property
    def has_room(self) -> bool:
        return len(self._waiting) < WINDOW

    @property
    def is_empty(self) -> bool:
        """Everything sealed was acknowledged."""
        return not self._waiting

    def add(self, body: bytes) -> int:
        """Keep a sealed delta; its number. While there is a master, add only while `has_room`."""
        self._last += 1
        self._waiting.append((self._last, body))
        return self._last

    def acknowledge(self, seq: int) -> bool:
        """Forget every delta up to `seq`; whether there was one."""
        before = len(self._waiting)
        while self._waiting and self._waiting[0][0] <= seq:
            self._waiting.popleft()
        return len(self._waiting) < before

    def unacknowledged(self) -> list[tuple[int, bytes]]:
        """What to send again after a loss, oldest first."""
        return list(self._waiting)

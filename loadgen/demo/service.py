"""The demo's shop as a pure model: how long each request takes, and which ones fail.

The shop has a few slots that serve one request each. Up to the rate they can serve, requests hardly
wait; past it they queue, so that latency climbs while throughput stays: the knee. For a short time
some orders fail: the burst.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

SLOTS = 10
MEAN_SERVICE_S = {"/": 0.008, "/item": 0.010, "/search": 0.018, "/order": 0.022}
UNKNOWN_SERVICE_S = 0.004
BURST_STARTS_S, BURST_ENDS_S = 12.0, 15.0  # since the first request
BURST_SHARE = {"/order": 0.9, "/search": 0.5}  # of that path's requests fail meanwhile
_JITTER = (0.6, 1.4)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer and when: `at_s` is on the caller's clock, never before now."""

    status: int
    at_s: float


class Service:
    """The shop. Times are seconds of one clock that the caller reads; the same seed answers the same."""

    def __init__(self, slots: int = SLOTS, seed: int = 7) -> None:
        self._free_at_s = [0.0] * slots  # a heap: the slot that is free first comes first
        self._rng = random.Random(seed)
        self._began_s: float | None = None

    def answer(self, path: str, now_s: float) -> Answer:
        """Queue one request for the next free slot. O(log slots), and no queue is kept."""
        if self._began_s is None:
            self._began_s = now_s
        kind = kind_of(path)
        if self._fails(kind, now_s - self._began_s):
            return Answer(503, now_s + 0.002)  # turned away at once: it takes no slot
        starts_s = max(now_s, self._free_at_s[0])
        mean_s = MEAN_SERVICE_S.get(kind, UNKNOWN_SERVICE_S)
        ends_s = starts_s + mean_s * self._rng.uniform(*_JITTER)
        heapq.heapreplace(self._free_at_s, ends_s)
        return Answer(200 if kind in MEAN_SERVICE_S else 404, ends_s)

    def _fails(self, kind: str, since_start_s: float) -> bool:
        if not BURST_STARTS_S <= since_start_s < BURST_ENDS_S:
            return False
        return self._rng.random() < BURST_SHARE.get(kind, 0.0)


def kind_of(path: str) -> str:
    """`/item/7?x=1` is of the kind `/item`."""
    return "/" + path.lstrip("/").partition("?")[0].partition("/")[0]

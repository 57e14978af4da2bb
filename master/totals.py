"""The latencies of the whole run: dense counts for each slot, and the names the slots stand for.

Memory: 26 KB for each (method, name, kind) that occurred, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.master.spans import SpanRows
from loadgen.metrics.histogram import BUCKETS, Histogram
from loadgen.metrics.snapshot import Latency
from loadgen.metrics.tally import NO_MIN_US, Kind

Ints = npt.NDArray[np.int64]
_FIRST_CAPACITY = 16


@dataclass(frozen=True, slots=True)
class Slot:
    """What one slot number stands for."""

    method: str
    name: str
    kind: Kind


class Totals:
    """Sums over the run per slot. Slots are numbered in order of first use."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self._numbers: dict[Slot, int] = {}
        self._buckets: Ints = np.zeros((_FIRST_CAPACITY, BUCKETS), dtype=np.int64)
        self._sums: Ints = np.zeros((3, _FIRST_CAPACITY), dtype=np.int64)  # count, bytes, sum_us
        self._min_us: Ints = np.full(_FIRST_CAPACITY, NO_MIN_US, dtype=np.int64)
        self._max_us: Ints = np.zeros(_FIRST_CAPACITY, dtype=np.int64)

    def slot(self, method: str, name: str, kind: Kind) -> int:
        """The number of this slot, a new one if it is new."""
        key = Slot(method, name, kind)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.slots)
            self.slots.append(key)
            if number >= len(self._min_us):
                self._grow()
        return number

    def find(self, method: str, name: str, kinds: Iterable[Kind]) -> list[int]:
        """The slots of one name that exist, among these kinds."""
        found = (self._numbers.get(Slot(method, name, kind)) for kind in kinds)
        return [number for number in found if number is not None]

    def of_kinds(self, kinds: Iterable[Kind]) -> list[int]:
        """The slots of all names, of these kinds."""
        wanted = frozenset(kinds)
        return [number for number, slot in enumerate(self.slots) if slot.kind in wanted]

    def add(self, span: SpanRows) -> None:
        """Add what `span` holds. Its slots must be known."""
        slots = span.slots
        np.add.at(self._buckets.reshape(-1), span.keys, span.counts)
        self._sums[0, slots] += span.count  # slots are distinct, so plain indexing loses nothing
        self._sums[1, slots] += span.bytes
        self._sums[2, slots] += span.sum_us
        self._min_us[slots] = np.minimum(self._min_us[slots], span.min_us)
        self._max_us[slots] = np.maximum(self._max_us[slots], span.max_us)

    def count(self, slots: list[int]) -> int:
        return int(self._sums[0, slots].sum())

    def bytes(self, slots: list[int]) -> int:
        return int(self._sums[1, slots].sum())

    def latency(self, slots: list[int], *, histogram: bool = True) -> Latency:
        """The samples of these slots together. Without `histogram` only count, sum, min and max."""
        count = self.count(slots)
        if not count:
            return Latency()
        return Latency(
            count,
            int(self._sums[2, slots].sum()),
            int(self._min_us[slots].min()),
            int(self._max_us[slots].max()),
            sparse(self._buckets[slots].sum(axis=0)) if histogram else Histogram(),
        )

    def _grow(self) -> None:
        added = len(self._min_us)
        self._buckets = np.concatenate([self._buckets, np.zeros((added, BUCKETS), dtype=np.int64)])
        self._sums = np.concatenate([self._sums, np.zeros((3, added), dtype=np.int64)], axis=1)
        self._min_us = np.concatenate([self._min_us, np.full(added, NO_MIN_US, dtype=np.int64)])
        self._max_us = np.concatenate([self._max_us, np.zeros(added, dtype=np.int64)])


def sparse(dense: Ints) -> Histogram:
    """A histogram from a count for each bucket."""
    filled = np.flatnonzero(dense)
    return Histogram(zip(filled.tolist(), dense[filled].tolist(), strict=True))

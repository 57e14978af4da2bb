"""Where the ledger's commits go before anything is acknowledged to a worker.

The rule of the seam: `Store.commit` returns only when the batch would survive what the store
promises to survive. If it raises, nothing is acknowledged and the same data comes again, with
whatever was applied meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from loadgen.master.spans import SpanRows
from loadgen.master.totals import Slot


@dataclass(frozen=True, slots=True)
class Commit:
    """What was applied since the last commit, and up to which delta of each worker.

    Both belong into one transaction: they are only true together. `new_slots` continue the
    numbering of all earlier commits; spans name slots by number.
    """

    workers: dict[str, int]  # worker -> number of its last applied delta
    new_slots: tuple[Slot, ...]
    spans: tuple[SpanRows, ...]


class Store(Protocol):
    """A place that keeps commits."""

    def commit(self, batch: Commit) -> None: ...


class MemoryStore:
    """Keeps which deltas were committed, for as long as the process lives."""

    def __init__(self) -> None:
        self.last_seq: dict[str, int] = {}
        self.slots: list[Slot] = []

    def commit(self, batch: Commit) -> None:
        self.slots.extend(batch.new_slots)
        self.last_seq.update(batch.workers)

"""Which sessions a commit saves whole and which only as changes in the journal. Pure.

Saving a session whole costs about ten times as much as its changes. So each commit saves the few
that wait longest, and journals the rest:

- with at most `per_commit` workers at a time every commit saves all of them, and the journal is empty;
- with more, each is saved in its turn, and the journal reaches back as far as the longest wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

PER_COMMIT = 20


class Folding:
    """Remembers whose changes are in the journal and since which commit."""

    def __init__(self, per_commit: int = PER_COMMIT) -> None:
        self._per_commit = per_commit
        self._since: dict[str, int] = {}  # worker -> its oldest commit in the journal; rising

    def choose(self, changed: Sequence[str]) -> tuple[list[str], list[str]]:
        """(whom to save whole, whose changes to journal). Decides nothing for good: see `settle`."""
        waiting = chain(self._since, (worker for worker in changed if worker not in self._since))
        whole = list(islice(waiting, self._per_commit))
        chosen = set(whole)
        return whole, [worker for worker in changed if worker not in chosen]

    def journal_from(self, number: int, whole: Sequence[str]) -> int:
        """The oldest commit whose journal is still needed once commit `number` has saved these."""
        chosen = set(whole)
        return next((since for worker, since in self._since.items() if worker not in chosen), number)

    def settle(self, number: int, whole: Sequence[str], journaled: Sequence[str]) -> None:
        """Commit `number` is in the store."""
        for worker in whole:
            self._since.pop(worker, None)
        for worker in journaled:
            self._since.setdefault(worker, number)

"""Errors, checks and counters of the run, merged from deltas and bounded.

Each remembers what has `changed` since the last commit: whoever commits clears that set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from loadgen.master.store import ErrorKey, GroupState, Moment
from loadgen.metrics.decoding import ErrorRow, TaskErrorRow
from loadgen.metrics.errorbook import OTHER
from loadgen.metrics.snapshot import CheckTotals, ErrorGroup, TaskError

MAX_ERROR_GROUPS = 2_000  # in a run
MAX_TASK_ERRORS = 200
MAX_CHECKS = 200
MAX_COUNTERS = 200

K = TypeVar("K")


@dataclass(slots=True)
class _Group:
    """A count and the texts of the earliest and the latest moment: (ms since the run's start, texts…).

    Ties go to the smaller or larger text, so that the order in which workers report cannot show.
    """

    count: int
    first: Moment
    latest: Moment

    def merge(self, other: _Group) -> None:
        self.count += other.count
        self.first = min(self.first, other.first)
        self.latest = max(self.latest, other.latest)


class _Groups(Generic[K]):
    """Groups by key."""

    def __init__(self) -> None:
        self._groups: dict[K, _Group] = {}
        self.changed: set[K] = set()

    def changes(self) -> dict[K, GroupState]:
        groups = self._groups
        return {key: (groups[key].count, groups[key].first, groups[key].latest) for key in self.changed}

    def restore(self, saved: Mapping[K, GroupState]) -> None:
        self._groups = {key: _Group(*state) for key, state in saved.items()}

    def _merge(self, key: K, new: _Group) -> None:
        self.changed.add(key)
        group = self._groups.get(key)
        if group is None:
            self._groups[key] = new
        else:
            group.merge(new)


class Errors(_Groups[ErrorKey]):
    """Error groups of all workers."""

    def add(self, method: str, name: str, row: ErrorRow) -> None:
        """Add one group of a delta. Above MAX_ERROR_GROUPS, new ones go to "(other)"."""
        key = (method, name, row.category, row.signature, row.phase, row.fault)
        if key not in self._groups and len(self._groups) >= MAX_ERROR_GROUPS:
            key = ("", OTHER, OTHER, OTHER, "", row.fault)
        first = (row.first_ms, row.first_sample, "")
        self._merge(key, _Group(row.count, first, (row.last_ms, row.latest_sample, "")))

    def view(self) -> tuple[ErrorGroup, ...]:
        """Most frequent first."""
        ordered = sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        return tuple(
            ErrorGroup(
                method=method,
                name=name,
                category=category,
                signature=signature,
                count=group.count,
                first_s=group.first[0] / 1000,
                last_s=group.latest[0] / 1000,
                first_sample=group.first[1],
                latest_sample=group.latest[1],
                phase=phase,
                fault=fault,
            )
            for (method, name, category, signature, phase, fault), group in ordered
        )


class TaskErrors(_Groups[tuple[str, str]]):
    """Exceptions that escaped from scenario code, of all workers."""

    def add(self, row: TaskErrorRow) -> None:
        """Add one group of a delta. Message and traceback shown are those of the first occurrence."""
        key = (row.user_class, row.origin)
        if key not in self._groups and len(self._groups) >= MAX_TASK_ERRORS:
            key = ("", OTHER)
        first = (row.first_ms, row.message, row.traceback)
        self._merge(key, _Group(row.count, first, (row.last_ms, "", "")))

    def view(self) -> tuple[TaskError, ...]:
        """Most frequent first."""
        ordered = sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        return tuple(
            TaskError(
                user_class=user_class,
                message=group.first[1],
                traceback=group.first[2],
                count=group.count,
                first_s=group.first[0] / 1000,
                last_s=group.latest[0] / 1000,
            )
            for (user_class, _origin), group in ordered
        )


class Checks:
    """Checks of the scenario, by name."""

    def __init__(self) -> None:
        self._rows: dict[str, list[int]] = {}
        self.changed: set[str] = set()

    def add(self, name: str, passed: int, failed: int) -> None:
        key = name if name in self._rows or len(self._rows) < MAX_CHECKS else OTHER
        row = self._rows.setdefault(key, [0, 0])
        row[0] += passed
        row[1] += failed
        self.changed.add(key)

    def changes(self) -> dict[str, tuple[int, int]]:
        return {name: (self._rows[name][0], self._rows[name][1]) for name in self.changed}

    def restore(self, saved: Mapping[str, tuple[int, int]]) -> None:
        self._rows = {name: list(row) for name, row in saved.items()}

    def view(self) -> tuple[CheckTotals, ...]:
        """By name."""
        return tuple(CheckTotals(name, passed, failed) for name, (passed, failed) in sorted(self._rows.items()))


class Counters:
    """Counters of the scenario, by name."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self.changed: set[str] = set()

    def add(self, name: str, amount: float) -> None:
        key = name if name in self._values or len(self._values) < MAX_COUNTERS else OTHER
        self._values[key] = self._values.get(key, 0) + amount
        self.changed.add(key)

    def changes(self) -> dict[str, float]:
        return {name: self._values[name] for name in self.changed}

    def restore(self, saved: Mapping[str, float]) -> None:
        self._values = dict(saved)

    def view(self) -> dict[str, float]:
        return dict(sorted(self._values.items()))

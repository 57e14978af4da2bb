"""What deltas say beside latencies, of all workers together: names, outcomes, errors, checks, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadgen.master.groups import Checks, Counters, Errors, TaskErrors
from loadgen.master.store import Name, Notes
from loadgen.master.view import Names
from loadgen.metrics.decoding import Delta

MAX_WARNINGS = 200


class Notebook:
    """Merged and bounded. `changes` tells what is new since `settle`; `restore` is its reverse."""

    def __init__(self) -> None:
        self.names = Names()
        self.errors = Errors()
        self.task_errors = TaskErrors()
        self.checks = Checks()
        self.counters = Counters()
        self.warnings: dict[str, None] = {}
        self.logs_dropped = 0
        self._settled_names = 0
        self._settled_warnings = 0

    def apply(self, names: Mapping[int, Name], delta: Delta) -> None:
        """Add one checked delta; `names` are those of its worker."""
        for number, outcomes in delta.outcomes:
            self.names.add_outcomes(names[number], outcomes)
        for number, phases in delta.phases:
            self.names.add_phases(names[number], phases)
        for row in delta.errors:
            self.errors.add(*names[row.series], row)
        for task_error in delta.task_errors:
            self.task_errors.add(task_error)
        for name, (passed, failed) in delta.checks.items():
            self.checks.add(name, passed, failed)
        for name, amount in delta.counters.items():
            self.counters.add(name, amount)
        for text in delta.warnings:
            self.warn(text)
        self.logs_dropped += delta.logs_dropped

    def warn(self, text: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings[text] = None

    def new_names(self) -> tuple[Name, ...]:
        return self.names.since(self._settled_names)

    def changes(self) -> Notes:
        return Notes(
            outcomes={name: dict(self.names.outcomes[name]) for name in self.names.changed_outcomes},
            phases={name: dict(self.names.phases[name]) for name in self.names.changed_phases},
            errors=self.errors.changes(),
            task_errors=self.task_errors.changes(),
            checks=self.checks.changes(),
            counters=self.counters.changes(),
            new_warnings=tuple(self.warnings)[self._settled_warnings :],
            logs_dropped=self.logs_dropped,
        )

    def settle(self) -> None:
        """What `changes` and `new_names` said is in the store."""
        self._settled_names = len(self.names.outcomes)
        self._settled_warnings = len(self.warnings)
        for changed in (self.names.changed_outcomes, self.names.changed_phases):
            changed.clear()
        for part in (self.errors, self.task_errors, self.checks, self.counters):
            part.changed.clear()

    def restore(self, names: Sequence[Name], notes: Notes) -> None:
        """Take back what a store has; into a new notebook only."""
        for method, name in names:
            self.names.admit(method, name)
        for key, outcomes in notes.outcomes.items():
            self.names.outcomes[key].update(outcomes)
        for key, phases in notes.phases.items():
            self.names.phases[key].update(phases)
        self.errors.restore(notes.errors)
        self.task_errors.restore(notes.task_errors)
        self.checks.restore(notes.checks)
        self.counters.restore(notes.counters)
        self.warnings.update(dict.fromkeys(notes.new_warnings))
        self.logs_dropped = notes.logs_dropped
        self._settled_names, self._settled_warnings = len(names), len(self.warnings)

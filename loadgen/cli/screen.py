"""What a run shows a person: the seam between running and displaying.

`loadgen.cli.running.execute` calls a Screen; loadgen.cli.terminal has the ones for a terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from loadgen.master.outcome import ExitCode
    from loadgen.master.thresholds import ThresholdResult
    from loadgen.master.verdict import Verdict
    from loadgen.metrics.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known when a run starts."""

    run_id: str
    scenario_name: str
    workers: int
    host: str | None
    planned_s: float | None  # None: until stopped
    command: str = ""  # as typed, secrets masked
    thresholds: tuple[str, ...] = ()
    seed: int | None = None  # of all random choices


@dataclass(frozen=True, slots=True)
class RunResult:
    """What is known when a run is over. `summary` is loadgen.summary/1 as a dict."""

    snapshot: Snapshot
    thresholds: list[ThresholdResult]
    verdict: Verdict
    exit_code: ExitCode
    summary: dict[str, Any] = field(default_factory=dict)


class Screen(Protocol):
    """Shows one run. Called from one greenlet at a time; no call may raise for a broken terminal."""

    def started(self, info: RunInfo) -> None:
        """The run begins."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """New figures, about twice a second."""
        ...

    def note(self, text: str) -> None:
        """A change of state, shown at once (above the panel)."""
        ...

    def log(self, line: str) -> None:
        """One log line of a worker or of the master, shown above the panel."""
        ...

    def finished(self, result: RunResult) -> None:
        """The run is over: show the summary."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found. May be called twice, and without `finished`."""
        ...

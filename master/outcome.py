"""The exit code of a run: one decision, made in one place."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from loadgen.errors import TargetError, UsageError, WorkersMissing
from loadgen.master.thresholds import ThresholdResult
from loadgen.master.verdict import Level, Verdict
from loadgen.metrics.snapshot import Snapshot


class ExitCode(IntEnum):
    """What the exit status of `loadgen run` means. Stable; CI depends on it."""

    PASSED = 0
    THRESHOLD_FAILED = 1
    INTERRUPTED = 2  # partial results were written
    INTERNAL_ERROR = 3
    USAGE = 4  # usage, configuration or scenario error
    NOTHING_MEASURED = 5
    GENERATOR_INVALID = 6  # or run incomplete; only with --strict-generator
    TARGET_FAILED = 7  # the dry run failed
    TOO_FEW_WORKERS = 8


def exit_code(
    snapshot: Snapshot,
    results: Sequence[ThresholdResult],
    verdict: Verdict,
    *,
    error: BaseException | None = None,
    interrupted: bool = False,
    strict_generator: bool = False,
) -> ExitCode:
    """The first that applies: an error that ended the run, 2, 6, 5, 1, 0.

    Failed requests alone change nothing; thresholds judge them. 5 means that no request finished.
    """
    if error is not None:
        return code_of(error)
    if interrupted:
        return ExitCode.INTERRUPTED
    if strict_generator and (verdict.level is Level.INVALID or not snapshot.complete):
        return ExitCode.GENERATOR_INVALID
    if snapshot.totals.requests == snapshot.totals.cancelled:
        return ExitCode.NOTHING_MEASURED
    if not all(result.ok for result in results):
        return ExitCode.THRESHOLD_FAILED
    return ExitCode.PASSED


def code_of(error: BaseException) -> ExitCode:
    """The exit code for what ended a run early. What is not the user's or the target's doing is a bug of ours."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, WorkersMissing):
        return ExitCode.TOO_FEW_WORKERS
    if isinstance(error, TargetError):
        return ExitCode.TARGET_FAILED
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return ExitCode.INTERNAL_ERROR

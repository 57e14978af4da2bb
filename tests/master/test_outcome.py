"""One exit code, the first that applies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.errors import ConfigError, ScenarioError, TargetError, WorkersMissing
from loadgen.master.outcome import ExitCode, code_of, exit_code
from loadgen.master.thresholds import ThresholdResult, evaluate, parse
from loadgen.master.verdict import Level, Verdict
from loadgen.metrics.snapshot import EndpointTotals, Snapshot

VALID, INVALID = Verdict(Level.VALID), Verdict(Level.INVALID, ("w1",))
GOOD = Snapshot(totals=EndpointTotals("", "TOTAL", requests=10), complete=True)
NOTHING = Snapshot(complete=True)


def results(holds: bool) -> list[ThresholdResult]:
    text = "errors < 1%" if holds else "errors > 50%"
    return evaluate([parse(text)], GOOD)


def test_a_run_that_keeps_its_promises_passes() -> None:
    assert exit_code(GOOD, results(True), VALID) is ExitCode.PASSED
    assert exit_code(GOOD, [], VALID) is ExitCode.PASSED


def test_one_failed_threshold_is_enough() -> None:
    assert exit_code(GOOD, results(True) + results(False), VALID) is ExitCode.THRESHOLD_FAILED


def test_nothing_measured_comes_before_thresholds() -> None:
    assert exit_code(NOTHING, results(False), VALID) is ExitCode.NOTHING_MEASURED


def test_requests_that_were_all_cancelled_measured_nothing() -> None:
    cancelled = replace(GOOD, totals=EndpointTotals("", "TOTAL", requests=5, cancelled=5))

    assert exit_code(cancelled, [], VALID) is ExitCode.NOTHING_MEASURED


def test_an_invalid_generator_matters_only_when_asked_for() -> None:
    assert exit_code(GOOD, results(True), INVALID) is ExitCode.PASSED
    assert exit_code(GOOD, results(False), INVALID, strict_generator=True) is ExitCode.GENERATOR_INVALID
    assert exit_code(GOOD, results(True), Verdict(Level.SUSPECT), strict_generator=True) is ExitCode.PASSED


def test_an_incomplete_run_matters_only_when_asked_for() -> None:
    incomplete = replace(GOOD, complete=False)

    assert exit_code(incomplete, results(True), VALID) is ExitCode.PASSED
    assert exit_code(incomplete, results(True), VALID, strict_generator=True) is ExitCode.GENERATOR_INVALID


def test_an_interruption_comes_before_what_it_interrupted() -> None:
    code = exit_code(NOTHING, results(False), INVALID, interrupted=True, strict_generator=True)

    assert code is ExitCode.INTERRUPTED


def test_an_error_comes_before_everything() -> None:
    code = exit_code(GOOD, [], VALID, error=WorkersMissing("1 of 2"), interrupted=True)

    assert code is ExitCode.TOO_FEW_WORKERS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 4),
        (ScenarioError("x"), 4),
        (WorkersMissing("x"), 8),
        (TargetError("x"), 7),
        (KeyboardInterrupt(), 2),
        (ZeroDivisionError(), 3),
    ],
)
def test_errors_have_their_codes(error: BaseException, code: int) -> None:
    assert code_of(error) == code

"""When the generator is to be believed."""

from __future__ import annotations

import pytest

from loadgen.master.verdict import Level, judge
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.snapshot import EndpointTotals, ErrorGroup, Snapshot, WorkerStatus

IDLE = WorkerStatus("w1", "running", users=10, requests=5_000, cpu_percent=8.0, cpu_percent_max=35.0, lag_ms_p99=1.2)


def run(*workers: WorkerStatus, requests: int = 10_000, errors: tuple[ErrorGroup, ...] = ()) -> Snapshot:
    totals = EndpointTotals("", "TOTAL", requests=requests)
    return Snapshot(elapsed_s=60.0, workers=workers, totals=totals, errors=errors)


def worker(name: str = "w3", state: str = "running", **values: float) -> WorkerStatus:
    return WorkerStatus(name, state, **values)  # type: ignore[arg-type]


def test_idle_workers_are_valid_without_reasons() -> None:
    verdict = judge(run(IDLE, IDLE))

    assert (verdict.level, verdict.reasons) == (Level.VALID, ())


def test_one_late_moment_does_not_condemn_a_run() -> None:
    assert judge(run(worker(lag_ms_p99=4.0, lag_ms_max=180.0, saturated_s=1.0))).level is Level.VALID


@pytest.mark.parametrize(
    ("status", "level", "says"),
    [
        (worker(cpu_percent_max=97.0, saturated_s=10.0), Level.SUSPECT, "w3 used 97 % of a core (limit 90 %)"),
        (worker(cpu_percent_max=97.0, saturated_s=10.0), Level.SUSPECT, "saturated for 10 of 60 s"),
        (worker(cpu_percent_max=97.0, saturated_s=30.0), Level.INVALID, "add workers or lower the load"),
        (worker(lag_ms_p99=50.0), Level.SUSPECT, "w3 was late by 50 ms"),
        (worker(lag_ms_p99=250.0), Level.INVALID, "w3 was late by 250 ms"),
        (worker(throttled_s=0.6), Level.SUSPECT, "container's CPU limit"),
        (worker(state="lost", name="w2"), Level.SUSPECT, "w2 was lost"),
        (worker(state="failed"), Level.SUSPECT, "w3 was failed"),
        (worker(generator_errors=5), Level.SUSPECT, "5 requests failed by limits of the generator"),
        (worker(generator_errors=100), Level.INVALID, "100 requests failed by limits of the generator"),
    ],
)
def test_what_puts_a_run_at_risk_is_named_with_its_worker(status: WorkerStatus, level: Level, says: str) -> None:
    verdict = judge(run(IDLE, status))

    assert verdict.level is level
    assert any(says in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    "status",
    [
        worker(cpu_percent_max=89.9),
        worker(lag_ms_p99=49.9),
        worker(throttled_s=0.5),
        worker(state="left"),
        worker(state="final"),
    ],
)
def test_below_the_limits_a_run_is_valid(status: WorkerStatus) -> None:
    assert judge(run(status)).level is Level.VALID


def test_the_reason_why_a_worker_was_lost_is_passed_on() -> None:
    lost = WorkerStatus("w2", "lost", reason="killed by signal 9")

    assert judge(run(lost)).reasons == ("w2 was lost (killed by signal 9): its users are missing from the load",)


def test_the_most_serious_reasons_come_first() -> None:
    verdict = judge(run(worker("w1", lag_ms_p99=60.0), worker("w2", lag_ms_p99=400.0)))

    assert verdict.level is Level.INVALID
    assert [reason[:2] for reason in verdict.reasons] == ["w2", "w1"]


def test_generator_errors_are_counted_once_and_shown_with_an_example() -> None:
    group = ErrorGroup(
        "GET", "/", "generator_limit", "no ports", 5, 1.0, 2.0, "no ports", "no ports", fault="generator"
    )
    verdict = judge(run(worker(generator_errors=5), errors=(group,)))

    assert len(verdict.reasons) == 1
    assert "5 requests" in verdict.reasons[0]
    assert "no ports" in verdict.reasons[0]


def test_a_run_without_requests_but_with_generator_errors_is_invalid() -> None:
    assert judge(run(worker(generator_errors=1), requests=0)).level is Level.INVALID


def lag_of(us: int) -> Histogram:
    histogram = Histogram()
    histogram.add(us, 20)
    return histogram


@pytest.mark.parametrize(
    ("health", "saturated"),
    [
        (Health(), False),
        (Health(cpu_percent=89.0, lag=lag_of(49_000)), False),
        (Health(cpu_percent=90.0), True),
        (Health(lag=lag_of(51_000)), True),
    ],
)
def test_a_window_is_saturated_by_cpu_or_by_lag(health: Health, saturated: bool) -> None:
    assert health.saturated is saturated

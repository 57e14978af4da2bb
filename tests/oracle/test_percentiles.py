"""Reported percentiles beside the ones the server measured itself, for the very same requests.

Tolerance: 0.5 % (buckets err by at most 0.39 %) and 0.5 ms (the way between the two processes).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.command import Finished, run_loadgen
from tests.support.priority import ahead_of_all
from tests.support.target import Target, target

SCENARIO = """\
from loadgen import HttpUser, task

class Asker(HttpUser):
    @task
    def ask(self):
        self.client.get("{path}")
"""
PERCENTS = (50, 85, 95, 99)
ATTEMPTS = 3  # of a run whose generator did not keep up: its times say nothing about our arithmetic


@pytest.fixture(scope="module")
def server() -> Iterator[Target]:
    """A target that, like the generator, is not kept waiting by other processes."""
    with ahead_of_all(), target() as running:
        yield running


def truth_ms(durations_us: Sequence[float], percent: float) -> float:
    """The smallest duration that `percent` of all are at most (nearest rank), in milliseconds."""
    return sorted(durations_us)[math.ceil(len(durations_us) * percent / 100) - 1] / 1000


def run_against(server: Target, path: str, workers: int, folder: Path) -> Finished:
    """A run of ten users whose generator was VALID, if there is one in three."""
    scenario = folder / "asker.py"
    scenario.write_text(SCENARIO.format(path=path))
    options = ["-H", server.url, "-u", "10", "-r", "100", "-t", "6s", "--workers", str(workers)]
    for percent in PERCENTS:
        options += ["--threshold", f"p{percent} < 10s"]  # a threshold says what it measured, to any percentile
    for _ in range(ATTEMPTS):
        server.reset()
        result = run_loadgen(scenario, *options)
        assert result.code == 0, result.explain()
        if result.is_valid:
            break
    return result


def reported_ms(result: Finished, percent: float) -> float:
    """What the summary says of this percentile, in milliseconds."""
    (row,) = (row for row in result.summary["thresholds"] if row["expr"].startswith(f"p{percent} "))
    return float(row["actual"])


def assert_percentiles(result: Finished, durations_us: Sequence[float], percents: Sequence[int]) -> None:
    for percent in percents:
        expected = truth_ms(durations_us, percent)
        assert abs(reported_ms(result, percent) - expected) <= 0.005 * expected + 0.5, f"p{percent}\n{result.explain()}"
    in_summary = result.summary["totals"]["service_ms"]
    assert in_summary["p99"] == pytest.approx(reported_ms(result, 99))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fixed_delay_is_reported_as_the_server_saw_it(server: Target, workers: int, tmp_path: Path) -> None:
    result = run_against(server, "/delay/50ms", workers, tmp_path)

    durations = server.durations("/delay/50ms")
    assert result.requests == len(durations) > 500
    assert_percentiles(result, durations, (50, 99))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mixture_keeps_both_its_humps(server: Target, workers: int, tmp_path: Path) -> None:
    """Of ten answers one takes 200 ms: p85 lies in the low hump, p95 in the high one, and no mean comes between."""
    result = run_against(server, "/mix", workers, tmp_path)

    durations = server.durations("/mix")
    assert result.requests == len(durations) > 500
    assert_percentiles(result, durations, (50, 85, 95, 99))

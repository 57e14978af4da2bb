from __future__ import annotations

from loadgen.cli.terminal.history import History, Moment, sparkline
from loadgen.cli.terminal.reading import find_burst, find_knee
from tests.support.snapshots import ramp


def seen(steps: int = 40, knee: int = 25) -> list[Moment]:
    history = History()
    for snapshot in ramp(steps, knee):
        history.add(snapshot)
    return history.moments


def test_the_knee_is_where_throughput_stops_growing() -> None:
    knee = find_knee(seen(knee=25))

    assert knee is not None
    assert 22 <= knee.start.at_s <= 25
    assert (knee.end.p95_us or 0) > 5 * (knee.start.p95_us or 0)


def test_a_service_that_keeps_up_has_no_knee() -> None:
    assert find_knee(seen(knee=40)) is None


def test_slower_answers_under_constant_load_are_no_knee() -> None:
    moments = [Moment(float(second), 100, 50.0, 0.0, 1_000, 1_000 * second) for second in range(1, 60)]

    assert find_knee(moments) is None


def test_a_burst_is_found_with_its_times() -> None:
    burst = find_burst(seen(), 0.02)

    assert burst is not None
    assert (burst.start_s, burst.end_s) == (34.0, 37.0)
    assert round(burst.peak_share, 2) == 0.3


def test_failures_spread_evenly_are_no_burst() -> None:
    moments = [Moment(float(second), 100, 50.0, 0.05, 1_000, 2_000) for second in range(1, 60)]

    assert find_burst(moments, 0.05) is None


def test_a_long_run_is_remembered_in_bounded_room() -> None:
    history = History()
    shots = ramp(40, 25)
    for second in range(20_000):
        shot = shots[second % 40]
        history.add(type(shot)(state=shot.state, elapsed_s=second / 2, users=second, window=shot.window))

    assert len(history.moments) <= 1_200
    assert history.moments[0].at_s == 0.0
    assert history.moments[-1].at_s > 9_900


def test_a_short_burst_stays_visible_in_a_narrow_curve() -> None:
    values = [0.0] * 500
    values[250] = 9.0

    assert sparkline(values, 20).count("█") == 1


def test_nothing_is_lower_than_little() -> None:
    assert sparkline([0.0, 0.001, 1.0], 10) == "▁▂█"

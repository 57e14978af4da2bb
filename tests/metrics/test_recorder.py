"""What a recorder keeps, counts and refuses."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.metrics.errorbook import MAX_ERROR_GROUPS, MAX_TASK_ERROR_GROUPS, OTHER
from loadgen.metrics.failure import Failure
from loadgen.metrics.histogram import bucket_index
from loadgen.metrics.recorder import (
    MAX_CHECKS,
    MAX_COUNTERS,
    MAX_LOGS,
    MAX_NAME_LENGTH,
    MAX_NAMES,
    MAX_OUTCOMES,
    MAX_PHASES,
    Recorder,
)
from loadgen.metrics.tally import LONGEST_US, Kind, Tally


def new() -> Recorder:
    return Recorder(FakeClock())


@given(st.lists(st.tuples(st.integers(-5, LONGEST_US * 2), st.integers(0, 10_000)), max_size=50))
def test_the_hot_path_and_the_plain_one_agree(samples: list[tuple[int, int]]) -> None:
    """Series.ok writes Tally.add out; this is the test that keeps them the same."""
    series = new().series("GET", "/")
    plain = Tally()
    for us, size in samples:
        series.ok(us, size)
        plain.add(us, size)

    hot = series.tallies[Kind.OK]
    assert [getattr(hot, name) for name in Tally.__slots__] == [getattr(plain, name) for name in Tally.__slots__]


@given(st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=50))
def test_a_tally_holds_exact_sums_beside_its_buckets(durations: list[int]) -> None:
    tally = Tally()
    for us in durations:
        tally.add(us, 3)

    assert (tally.sum_us, tally.min_us, tally.max_us) == (sum(durations), min(durations), max(durations))
    assert tally.bytes == 3 * len(durations)
    assert sum(tally.buckets.values()) == len(durations)
    assert set(tally.buckets) == {bucket_index(us) for us in durations}


def test_a_series_is_the_same_object_each_time() -> None:
    recorder = new()

    assert recorder.series("GET", "/a") is recorder.series("GET", "/a")
    assert recorder.series("GET", "/a") is not recorder.series("POST", "/a")


def test_waited_samples_are_kept_by_service_and_by_response_time() -> None:
    series = new().series("GET", "/")
    series.ok(1_000, 10)
    series.ok(1_000, 10, 500)

    assert {kind: tally.sum_us for kind, tally in series.tallies.items()} == {
        Kind.OK: 1_000,
        Kind.OK_WAITED_SERVICE: 1_000,
        Kind.OK_WAITED_RESPONSE: 1_500,
    }
    assert sum(tally.bytes for tally in series.tallies.values()) == 20


def test_histograms_of_failures_are_made_only_when_something_fails() -> None:
    series = new().series("GET", "/")
    series.ok(1_000, 10)

    assert list(series.tallies) == [Kind.OK]


def test_kinds_stay_in_the_order_of_the_wire() -> None:
    series = new().series("GET", "/")
    series.ok(5, 0, 1)
    series.cancelled(5)
    series.failed(5, 0, 0, Failure("reset", "connection reset"))

    assert list(series.tallies) == sorted(series.tallies)


def test_from_the_thousandth_name_on_new_ones_share_other() -> None:
    recorder = new()
    for number in range(MAX_NAMES):
        recorder.series("GET", f"/item/{number}").ok(1, 1)

    extra = recorder.series("GET", "/item/81723")

    assert (extra.method, extra.name) == ("", OTHER)
    assert recorder.series("GET", "/item/99999") is extra
    assert recorder.series("GET", "/item/0") is not extra
    assert len(recorder.warnings) == 1
    warning = next(iter(recorder.warnings))
    assert warning.startswith("LG401 1,000 endpoint names reached")
    assert "/item/81723" in warning
    assert 'name="/item/[id]"' in warning


def test_long_names_are_cut() -> None:
    recorder = new()
    series = recorder.series("GET", "/" + "x" * 1_000)

    assert len(series.name) == MAX_NAME_LENGTH
    assert recorder.series("GET", "/" + "x" * 2_000) is series


def test_failures_with_one_signature_form_one_group_with_first_and_latest_sample() -> None:
    clock = FakeClock(now_ns=5)
    recorder = Recorder(clock)
    series = recorder.series("GET", "/")
    series.failed(10, 0, 0, Failure("check", "order 1 is missing"))
    clock.advance(2)
    series.failed(10, 0, 0, Failure("check", "order 2 is missing"))

    [(key, group)] = recorder.notes.errors.groups.items()
    assert key == (series.id, "check", "order <n> is missing", "", "target")
    assert (group.count, group.first_sample, group.latest_sample) == (2, "order 1 is missing", "order 2 is missing")
    assert group.last_ns - group.first_ns == 2_000_000_000


def test_samples_have_no_secrets_and_say_what_is_known() -> None:
    recorder = new()
    failure = Failure("reset", "reset in GET /a?token=abcdef", "body", bytes=512, retried=True, reused=True)
    recorder.series("GET", "/").failed(10, 0, 0, failure)

    [group] = recorder.notes.errors.groups.values()
    assert group.first_sample == "reset in GET /a?token=*** (after 512 bytes, on a reused connection, retried once)"


def test_a_whole_response_that_counts_as_failed_was_not_cut_off() -> None:
    recorder = new()
    recorder.series("GET", "/").failed(10, 335, 0, Failure("http_4xx", "HTTP 404", bytes=335, reused=True))

    [group] = recorder.notes.errors.groups.values()
    assert group.first_sample == "HTTP 404"


def test_too_many_error_groups_go_to_other() -> None:
    recorder = new()
    series = recorder.series("GET", "/")
    for number in range(MAX_ERROR_GROUPS + 50):
        series.failed(1, 0, 0, Failure(f"c{number}", "x"))

    groups = recorder.notes.errors.groups
    assert len(groups) == MAX_ERROR_GROUPS + 1
    assert sum(group.count for group in groups.values()) == MAX_ERROR_GROUPS + 50
    assert len(series.outcomes) == MAX_OUTCOMES + 1
    assert sum(series.outcomes.values()) == MAX_ERROR_GROUPS + 50


def raise_in_task(number: int) -> Exception:
    try:
        raise ValueError(f"bad item {number}")
    except ValueError as error:
        return error


def test_exceptions_from_one_place_form_one_group_whatever_their_message() -> None:
    recorder = new()
    recorder.task_error("Shopper", raise_in_task(1))
    recorder.task_error("Shopper", raise_in_task(2))
    recorder.task_error("Admin", raise_in_task(3))

    groups = recorder.notes.errors.task_groups
    assert [(key[0], group.count) for key, group in groups.items()] == [("Shopper", 2), ("Admin", 1)]
    group = next(iter(groups.values()))
    assert group.first_sample == "ValueError: bad item 1"
    assert "raise_in_task" in group.detail


def test_an_exception_that_cannot_be_printed_is_counted_too() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    recorder = new()
    recorder.task_error("Shopper", Silent())

    [group] = recorder.notes.errors.task_groups.values()
    assert group.count == 1
    assert "RuntimeError" in group.first_sample


def test_too_many_kinds_of_exceptions_go_to_other() -> None:
    recorder = new()
    for number in range(MAX_TASK_ERROR_GROUPS + 5):
        recorder.task_error(f"User{number}", ValueError("x"))

    groups = recorder.notes.errors.task_groups
    assert len(groups) == MAX_TASK_ERROR_GROUPS + 1
    assert groups["", OTHER].count == 5


def test_every_list_is_bounded_and_says_so() -> None:
    recorder = new()
    series = recorder.series("GET", "/")
    for number in range(1_000):
        recorder.check(f"check {number}", number % 2 == 0)
        recorder.count(f"counter {number}", 2)
        recorder.log(20, "shop", f"line {number}", 1.0)
        series.phase(f"phase {number}", 3)

    notes = recorder.notes
    assert len(notes.checks) == MAX_CHECKS + 1
    assert sum(passed + failed for passed, failed in notes.checks.values()) == 1_000
    assert len(notes.counters) == MAX_COUNTERS + 1
    assert sum(notes.counters.values()) == 2_000
    assert (len(notes.logs), notes.logs_dropped) == (MAX_LOGS, 1_000 - MAX_LOGS)
    assert len(series.phases) == MAX_PHASES + 1
    assert sum(row[0] for row in series.phases.values()) == 1_000
    assert [text[:5] for text in recorder.warnings] == ["LG403", "LG404"]


def test_a_counter_takes_no_infinity() -> None:
    recorder = new()
    recorder.count("sold", math.nan)
    recorder.count("sold", math.inf)
    recorder.count("sold", 2.5)

    assert recorder.notes.counters == {"sold": 2.5}
    assert next(iter(recorder.warnings)).startswith("LG405")


def test_a_warning_is_said_once() -> None:
    recorder = new()
    for _ in range(3):
        recorder.warn("the same")

    assert list(recorder.warnings) == ["the same"]


def test_generator_faults_are_counted_apart() -> None:
    recorder = new()
    series = recorder.series("GET", "/")
    series.failed(1, 0, 0, Failure("generator_limit", "too many open files", fault="generator"))
    series.failed(1, 0, 0, Failure("reset", "reset"))

    assert recorder.generator_errors == 1


def test_log_records_lose_their_secrets() -> None:
    recorder = new()
    recorder.log(20, "shop", "login with password=hunter2222", 1.0)

    assert recorder.notes.logs[0].message == "login with password=***"

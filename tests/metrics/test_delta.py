"""Sealing and decoding: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import random
import sys

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.errors import Malformed
from loadgen.metrics.decoding import COUNT, KIND, MAX_US, MIN_US, SERIES, SUM_US, TOTAL_COUNT, TOTAL_SUM_US, Delta
from loadgen.metrics.delta import MAX_BODY, Window, decode, is_drained, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import LAST_BUCKET, Histogram, bucket_index
from loadgen.metrics.recorder import MAX_NAMES, Recorder
from loadgen.metrics.tally import Kind

SECOND = Window(0, 1_000)


def health() -> Health:
    lag = Histogram()
    lag.add(120)
    lag.add(90_000, 3)
    return Health(41.5, 80 << 20, 1_200, lag, 2)


def busy_recorder(seed: int = 1) -> Recorder:
    rng = random.Random(seed)
    recorder = Recorder(FakeClock(now_ns=10**9))
    for number in range(5):
        series = recorder.series("GET", f"/item/{number}")
        for _ in range(50):
            series.ok(rng.randrange(100, 90_000), 612, rng.choice([0, 0, 700]))
        series.failed(40, 0, 0, Failure("http_5xx", "HTTP 503", phase="headers"))
        series.cancelled(12)
        series.phase("connect", 210)
    recorder.books.started = 260
    recorder.books.ok = 250
    recorder.check("id returned", True)
    recorder.count("sold", 2.5)
    recorder.log(30, "shop", "out of stock", 1.7e9)
    recorder.task_error("Shopper", ValueError("no"))
    recorder.warn("LG401 too many")
    recorder.users["Shopper"] = 10
    recorder.connections_opened = 7
    recorder.requests_on_reused = 243
    return recorder


def sealed(recorder: Recorder, window: Window = SECOND, final: bool = False) -> Delta:
    return decode(seal(recorder, window, health(), final))


def test_everything_recorded_comes_out_of_the_delta() -> None:
    delta = sealed(busy_recorder(), final=True)

    assert delta.window == SECOND
    assert delta.final
    assert delta.names == [(number + 1, "GET", f"/item/{number}") for number in range(5)]
    assert delta.outcomes == [(number, {"http_5xx": 1}) for number in range(1, 6)]
    assert delta.phases == [(number, {"connect": (1, 210, 210)}) for number in range(1, 6)]
    assert delta.books == delta.books_total == (260, 250, 0, 0, 0, 0)
    assert delta.checks == {"id returned": (1, 0)}
    assert delta.counters == {"sold": 2.5}
    assert [(row.series, row.category, row.phase, row.count) for row in delta.errors] == [
        (number, "http_5xx", "headers", 1) for number in range(1, 6)
    ]
    assert [(row.user_class, row.message) for row in delta.task_errors] == [("Shopper", "ValueError: no")]
    assert [(line.level, line.message) for line in delta.logs] == [(30, "out of stock")]
    assert delta.warnings == ["LG401 too many"]
    assert delta.users == {"Shopper": 10}
    assert (delta.connections_opened, delta.requests_on_reused) == (7, 243)
    assert delta.health == health()


def test_a_second_seal_holds_only_what_came_since() -> None:
    recorder = busy_recorder()
    first = sealed(recorder)
    recorder.series("GET", "/item/2").ok(77, 1)
    recorder.books.started += 3

    second = sealed(recorder, Window(1_000, 2_000))

    assert second.names == []
    [row] = second.latencies.rows.tolist()
    assert (row[SERIES], row[KIND], row[COUNT], row[SUM_US]) == (3, Kind.OK, 1, 77)
    before = first.latencies.rows[first.latencies.keys == 3 * 8 + Kind.OK][0]
    assert row[TOTAL_COUNT] == before[COUNT] + 1
    assert row[TOTAL_SUM_US] == before[SUM_US] + 77
    assert second.books == (3, 0, 0, 0, 0, 0)
    assert second.books_total == (263, 250, 0, 0, 0, 0)
    assert not any([second.errors, second.outcomes, second.checks, second.counters, second.logs, second.warnings])
    assert second.users == {"Shopper": 10}


def test_an_idle_second_is_small() -> None:
    recorder = busy_recorder()
    sealed(recorder)

    assert len(seal(recorder, SECOND, Health(), False)) < 250


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4_000_000_000), st.sampled_from([0, 9])), max_size=80))
def test_sealing_and_decoding_lose_no_sample(samples: list[tuple[int, int, int]]) -> None:
    recorder = Recorder(FakeClock())
    expected: dict[tuple[int, Kind], list[int]] = {}
    for number, us, wait_us in samples:
        series = recorder.series("GET", str(number))
        series.ok(us, 10, wait_us)
        kinds = [(Kind.OK_WAITED_SERVICE, us), (Kind.OK_WAITED_RESPONSE, us + wait_us)] if wait_us else [(Kind.OK, us)]
        for kind, value in kinds:
            expected.setdefault((series.id, kind), []).append(value)

    latencies = sealed(recorder).latencies

    found = {}
    at = 0
    for row in latencies.rows.tolist():
        indexes = latencies.indexes[at : at + row[7]].tolist()
        counts = latencies.counts[at : at + row[7]].tolist()
        at += row[7]
        histogram = Histogram(zip(indexes, counts, strict=True))
        found[row[SERIES], Kind(row[KIND])] = (row[COUNT], row[SUM_US], row[MIN_US], row[MAX_US], histogram)
    assert found == {
        key: (len(values), sum(values), min(values), max(values), in_buckets(values))
        for key, values in expected.items()
    }


def in_buckets(values: list[int]) -> Histogram:
    histogram = Histogram()
    for us in values:
        histogram.add(us)
    return histogram


def test_durations_above_one_hour_share_the_last_bucket() -> None:
    recorder = Recorder(FakeClock())
    series = recorder.series("GET", "/")
    series.ok(3_600_000_000, 0)
    series.ok(9_000_000_000, 0)
    series.ok(5, 0)

    latencies = sealed(recorder).latencies

    assert latencies.indexes.tolist() == [5, LAST_BUCKET]
    assert latencies.counts.tolist() == [1, 2]
    assert latencies.rows[0, MAX_US] == 9_000_000_000
    assert bucket_index(3_600_000_000) == LAST_BUCKET


def test_times_of_errors_are_master_time_inside_the_window() -> None:
    clock = FakeClock(now_ns=50 * 10**9)
    recorder = Recorder(clock)
    series = recorder.series("GET", "/")
    series.failed(1, 0, 0, Failure("reset", "reset"))
    clock.advance(1.5)
    series.failed(1, 0, 0, Failure("reset", "reset"))
    clock.advance(0.25)

    [row] = sealed(recorder, Window(7_000, 9_000)).errors

    assert (row.first_ms, row.last_ms) == (7_250, 8_750)


def test_texts_that_are_no_unicode_do_not_stop_a_seal() -> None:
    recorder = Recorder(FakeClock())
    recorder.series("GET", "/\ud800").ok(1, 1)

    assert sealed(recorder).names == [(1, "GET", "/?")]


@pytest.mark.parametrize("letter", ["x", "界", "\U0001f600"])
def test_a_body_never_exceeds_its_limit_and_nothing_is_left_out(letter: str) -> None:
    """Every cap of the recorder in use at once, in scripts of 1, 3 and 4 bytes a letter."""
    recorder = Recorder(FakeClock())
    rng = random.Random(1)
    for number in range(MAX_NAMES):
        series = recorder.series(letter * 250, f"{number}{letter * 250}")
        for _ in range(60):
            series.ok(rng.randrange(200, 10**7), 1)
        for kind in range(3):
            series.failed(1, 0, 0, Failure(f"{letter * 50}{kind}", f"{letter * 400} {kind}"))
        series.phase(letter * 60, 5)
    for number in range(300):
        recorder.check(f"{number}{letter * 250}", True)
        recorder.count(f"{number}{letter * 250}", 1)
        recorder.log(20, letter * 200, letter * 2_000, 1.0)
        recorder.warn(f"{number}{letter * 450}")
        recorder.task_error(f"{number}{letter * 250}", ValueError(letter * 400))
        recorder.users[f"{number}{letter * 250}"] = 1

    bodies = [seal(recorder, SECOND, health(), True)]
    while not is_drained(recorder) and len(bodies) < 100:
        bodies.append(seal(recorder, SECOND, health(), True))

    assert max(map(len, bodies)) <= MAX_BODY
    deltas = [decode(body) for body in bodies]
    assert [delta.final for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert sum(len(delta.names) for delta in deltas) == MAX_NAMES
    assert sum(int(delta.latencies.rows[:, COUNT].sum()) for delta in deltas) == MAX_NAMES * 63
    assert sum(row.count for delta in deltas for row in delta.errors) == MAX_NAMES * 3
    assert sum(n for delta in deltas for _, counts in delta.outcomes for n in counts.values()) == MAX_NAMES * 3
    assert sum(row.count for delta in deltas for row in delta.task_errors) == 300
    assert sum(passed for delta in deltas for passed, _ in delta.checks.values()) == 300
    assert sum(len(delta.logs) + delta.logs_dropped for delta in deltas) == 300
    assert max(len(delta.users) for delta in deltas) >= 30


def test_names_are_known_before_anything_refers_to_them() -> None:
    recorder = Recorder(FakeClock())
    for number in range(MAX_NAMES):
        series = recorder.series("GET" * 80, f"{number}" + "界" * 250)
        series.failed(1, 0, 0, Failure("reset", "reset"))
        series.phase("dns", 5)

    known = {0}
    while not is_drained(recorder):
        delta = sealed(recorder)
        known |= {number for number, _, _ in delta.names}
        used = set(delta.latencies.rows[:, SERIES].tolist())
        used |= {row.series for row in delta.errors}
        used |= {number for number, _ in delta.outcomes} | {number for number, _ in delta.phases}
        assert used <= known


def test_with_too_many_buckets_each_series_gets_its_turn() -> None:
    recorder = Recorder(FakeClock())
    series = [recorder.series("GET", str(number)) for number in range(100)]
    sent = set()
    for _ in range(3):
        for one in series:
            one.ok(0, 1)
            one.tallies[Kind.OK].buckets = dict.fromkeys(range(1_500), 1)
        sent |= set(sealed(recorder).latencies.rows[:, SERIES].tolist())

    assert sent == {one.id for one in series}


# Decoding


@given(st.binary(max_size=300))
def test_random_bytes_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body)


@settings(max_examples=300)
@given(st.data())
def test_mutated_deltas_are_refused_or_decoded_and_nothing_else(data: st.DataObject) -> None:
    body = bytearray(seal(busy_recorder(), SECOND, health(), True))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                body[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del body[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        if not body:
            break
    try:
        delta = decode(bytes(body))
    except Malformed:
        return
    assert int(delta.latencies.counts.sum()) == int(delta.latencies.rows[:, COUNT].sum())


def packed(**changes: object) -> bytes:
    """A sound body with some fields changed (None: removed)."""
    fields = msgpack.unpackb(seal(busy_recorder(), SECOND, health(), True))
    fields.update(changes)
    body: bytes = msgpack.packb({key: value for key, value in fields.items() if value is not None})
    return body


def rows_with(column: int, value: int) -> bytes:
    delta = decode(packed())
    rows = delta.latencies.rows.copy()
    rows[3, column] = value
    return bytes(rows.tobytes())


@pytest.mark.parametrize(
    "changes",
    [
        {"window": None},
        {"window": [2_000, 1_000]},
        {"window": [0, -1]},
        {"window": [0, True]},
        {"window": [0, 1, 2]},
        {"final": 1},
        {"names": [[1, "GET"]]},
        {"names": [[MAX_NAMES + 1, "GET", "/"]]},
        {"names": [[1, b"GET", "/"]]},
        {"books": [1] * 11},
        {"books": [1.0] * 12},
        {"health": None},
        {"health": [1.0, 2, 3, 4, b"\x01", b"\x01"]},
        {"health": [float("nan"), 2, 3, 4, b"", b""]},
        {"counters": {"x": float("inf")}},
        {"counters": {"x": "1"}},
        {"checks": {"x": [1]}},
        {"users": {"x": -1}},
        {"outcomes": [[1, {"x": 1 << 63}]]},
        {"errors": [[1, "a", "b", "c", "d", 1, 2, 3, "e"]]},
        {"logs": [[20, "a", "b"]]},
        {"logs": {"a": "b"}},
        {"warnings": [1]},
        {"rows": b""},
        {"rows": b"\x00" * 79},
        {"indexes": b"\x00"},
        {"indexes": None},
        {"counts": b""},
        {"rows": "text"},
    ],
    ids=str,
)
def test_fields_of_a_wrong_shape_are_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode(packed(**changes))


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, MAX_NAMES + 1), (0, -1), (1, 7), (2, 0), (2, 9_999), (3, -1), (5, 1 << 40), (7, 0), (7, 5_000), (7, 1 << 62)],
)
def test_rows_that_contradict_themselves_are_malformed(column: int, value: int) -> None:
    with pytest.raises(Malformed):
        decode(packed(rows=rows_with(column, value)))


def test_a_repeated_row_is_malformed() -> None:
    delta = decode(packed())
    rows = delta.latencies.rows.copy()
    rows[1, :2] = rows[0, :2]

    with pytest.raises(Malformed):
        decode(packed(rows=rows.tobytes()))


def test_falling_bucket_indexes_are_malformed() -> None:
    indexes = decode(packed()).latencies.indexes.copy()
    indexes[:2] = indexes[:2][::-1].copy()

    with pytest.raises(Malformed):
        decode(packed(indexes=indexes.tobytes()))


def test_a_body_above_the_limit_is_not_even_read() -> None:
    with pytest.raises(Malformed, match="limit"):
        decode(b"\x00" * (MAX_BODY + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff" * 200,  # arrays that claim four billion entries, nested
        b"\x91" * 100_000,  # very deep
        b"\xdf\xff\xff\xff\xff" * 200,
        b"\xc6\xff\xff\xff\xff",
        b"\xc7\x00\x05",
    ],
)
def test_claims_of_size_and_depth_cost_nothing(body: bytes) -> None:
    depth = sys.getrecursionlimit()

    with pytest.raises(Malformed):
        decode(body)
    assert sys.getrecursionlimit() == depth


def test_unknown_fields_of_a_newer_worker_are_ignored() -> None:
    assert decode(packed(tomorrow={"x": [1, 2]})).window == SECOND

"""The one law of the ledger: what was recorded is what it shows, however the deltas travelled."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.errors import Malformed
from loadgen.master.ledger import Applied, Ledger
from loadgen.master.session import WorkerReport
from loadgen.master.store import Commit, MemoryStore
from loadgen.master.view import LedgerView
from loadgen.metrics.delta import Window, seal
from loadgen.metrics.errorbook import OTHER
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.recorder import MAX_NAMES, Recorder
from loadgen.metrics.snapshot import CheckTotals, Latency

WORKERS = ("w1", "w2", "w3")


class Wire:
    """One worker and its not yet applied deltas, in order."""

    def __init__(self) -> None:
        self.recorder = Recorder(FakeClock())
        self.bodies: list[bytes] = []
        self.sealed_ms = 0

    def seal(self, final: bool = False) -> None:
        window = Window(self.sealed_ms, self.sealed_ms + 1_000)
        self.sealed_ms += 1_000
        self.bodies.append(seal(self.recorder, window, Health(), final))


@dataclasses.dataclass
class Truth:
    """What was recorded, by the simplest means."""

    service: defaultdict[tuple[str, str], list[int]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    response: defaultdict[tuple[str, str], list[int]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    failed: defaultdict[tuple[str, str], list[int]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    cancelled: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    outcomes: Counter[tuple[str, str, str]] = dataclasses.field(default_factory=Counter)
    checks: Counter[tuple[str, bool]] = dataclasses.field(default_factory=Counter)
    sold: int = 0
    started: int = 0
    bytes: int = 0


keys = st.sampled_from([("GET", "/"), ("POST", "/cart"), ("GET", "/item/[id]")])
latencies_us = st.integers(0, 400) | st.integers(0, 5_000_000_000)
waits_us = st.sampled_from([0, 0, 1, 30_000])
operations = st.one_of(
    st.tuples(st.just("ok"), keys, latencies_us, waits_us),
    st.tuples(st.just("ok"), keys, latencies_us, waits_us),
    st.tuples(st.just("failed"), keys, latencies_us, waits_us),
    st.tuples(st.just("cancelled"), keys, latencies_us, st.just(0)),
    st.tuples(st.just("check"), keys, st.booleans(), st.just(0)),
    st.tuples(st.just("seal"), st.none(), st.none(), st.none()),
    st.tuples(st.just("deliver"), st.none(), st.integers(0, 5), st.none()),
    st.tuples(st.just("commit"), st.none(), st.none(), st.none()),
)
histories = st.lists(st.tuples(st.sampled_from(WORKERS), operations), max_size=80)


def record(wire: Wire, truth: Truth, operation: tuple[str, tuple[str, str], int, int]) -> None:
    kind, key, us, wait_us = operation
    series = wire.recorder.series(*key)
    wire.recorder.books.started += 1
    truth.started += 1
    if kind == "ok":
        series.ok(us, 7, wait_us)
        truth.service[key].append(us)
        truth.response[key].append(us + wait_us)
        truth.bytes += 7
    elif kind == "failed":
        series.failed(us, 3, wait_us, Failure("reset" if us % 2 else "http_5xx", f"broke after {us}"))
        truth.failed[key].append(us)
        truth.outcomes[*key, "reset" if us % 2 else "http_5xx"] += 1
        truth.bytes += 3
    elif kind == "cancelled":
        series.cancelled(us)
        truth.cancelled[key] += 1
    else:
        wire.recorder.check(key[1], bool(us))
        wire.recorder.count("sold", 2)
        truth.checks[key[1], bool(us)] += 1
        truth.sold += 2


def deliver(ledger: Ledger, worker: str, wire: Wire, number: int) -> None:
    """Send any delta sealed so far: the next one, an old one again, or one too early."""
    if number < len(wire.bodies):
        before = ledger.report(worker).last_seq
        result = ledger.apply(worker, number + 1, wire.bodies[number])
        expected = Applied.APPLIED if number == before else Applied.DUPLICATE if number < before else Applied.GAP
        assert result is expected
        assert ledger.report(worker).last_seq == before + (result is Applied.APPLIED)


def latency_of(values: list[int]) -> Latency:
    histogram = Histogram()
    for us in values:
        histogram.add(us)
    if not values:
        return Latency()
    return Latency(len(values), sum(values), min(values), max(values), histogram)


def check_against(view: LedgerView, truth: Truth) -> None:
    by_key = {(endpoint.method, endpoint.name): endpoint for endpoint in view.endpoints}
    assert set(by_key) == {*truth.service, *truth.failed, *truth.cancelled}
    for key, endpoint in by_key.items():
        assert endpoint.service == latency_of(truth.service[key])
        assert endpoint.response == latency_of(truth.response[key])
        assert endpoint.failed_service == latency_of(truth.failed[key])
        assert endpoint.cancelled == truth.cancelled[key]
        assert endpoint.requests == len(truth.service[key]) + len(truth.failed[key]) + truth.cancelled[key]
        assert endpoint.failures == len(truth.failed[key])
        assert sum(endpoint.outcomes.values()) == endpoint.requests
        for outcome, n in endpoint.outcomes.items():
            if outcome not in ("ok", "cancelled"):
                assert n == truth.outcomes[*key, outcome]
    everything = [us for values in truth.response.values() for us in values]
    assert view.totals.response == latency_of(everything)
    assert view.totals.requests == sum(endpoint.requests for endpoint in view.endpoints)
    assert view.totals.bytes == truth.bytes
    assert view.accounting.started == view.accounting.in_flight == truth.started
    assert view.accounting.closes()
    names = sorted({name for name, _ in truth.checks})
    assert view.checks == tuple(
        CheckTotals(name, truth.checks[name, True], truth.checks[name, False]) for name in names
    )
    assert view.counters == ({"sold": truth.sold} if truth.sold else {})
    assert sum(group.count for group in view.errors) == view.totals.failures
    assert not [text for text in view.warnings if text.startswith("LG601")]


@settings(max_examples=150, deadline=None)
@given(histories)
def test_what_was_recorded_is_what_the_ledger_shows(
    history: list[tuple[str, tuple[str, tuple[str, str], int, int]]],
) -> None:
    """Any interleaving of records and seals of three workers; duplicates, gaps, commits in between."""
    ledger, store, truth = Ledger(), MemoryStore(), Truth()
    wires = {worker: Wire() for worker in WORKERS}
    for worker in WORKERS:
        ledger.join(worker)
    for worker, operation in history:
        match operation[0]:
            case "seal":
                wires[worker].seal()
            case "deliver":
                deliver(ledger, worker, wires[worker], operation[2])
            case "commit":
                ledger.commit(store)
            case _:
                record(wires[worker], truth, operation)
    for worker, wire in wires.items():
        wire.seal(final=True)
        for number in range(len(wire.bodies)):
            deliver(ledger, worker, wire, number)
        assert ledger.report(worker).final
    ledger.commit(store)

    check_against(ledger.view(detailed=True), truth)
    assert store.last_seq == {worker: len(wire.bodies) for worker, wire in wires.items()}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(keys, latencies_us, waits_us, st.integers(0, 2)), min_size=1, max_size=60))
def test_percentiles_are_the_same_on_one_worker_and_on_three(
    samples: list[tuple[tuple[str, str], int, int, int]],
) -> None:
    def view(worker_of: Callable[[int], str]) -> LedgerView:
        ledger = Ledger()
        wires: dict[str, Wire] = {}
        for key, us, wait_us, choice in samples:
            wires.setdefault(worker_of(choice), Wire()).recorder.series(*key).ok(us, 1, wait_us)
        for worker, wire in wires.items():
            ledger.join(worker)
            wire.seal()
            ledger.apply(worker, 1, wire.bodies[0])
        return ledger.view(detailed=True)

    one, three = view(lambda _: "w1"), view(lambda choice: WORKERS[choice])

    assert one == three


def two_deltas() -> Wire:
    wire = Wire()
    for number in range(2):
        series = wire.recorder.series("GET", f"/{number}")
        series.ok(1_000 + number, 10)
        series.failed(20, 0, 0, Failure("reset", "reset"))
        wire.recorder.books.started += 1
        wire.seal()
    return wire


def joined() -> Ledger:
    ledger = Ledger()
    ledger.join("w1")
    return ledger


def test_a_gap_is_never_applied() -> None:
    ledger, wire = joined(), two_deltas()

    assert ledger.apply("w1", 2, wire.bodies[1]) is Applied.GAP
    assert ledger.view(detailed=True).totals.requests == 0
    assert ledger.commit(MemoryStore()) == {}


def test_a_repeated_delta_is_acknowledged_again_and_counted_once() -> None:
    ledger, wire, store = joined(), two_deltas(), MemoryStore()
    ledger.apply("w1", 1, wire.bodies[0])

    assert ledger.commit(store) == {"w1": 1}
    assert ledger.commit(store) == {}
    assert ledger.apply("w1", 1, wire.bodies[0]) is Applied.DUPLICATE
    assert ledger.commit(store) == {"w1": 1}
    assert ledger.view(detailed=True).totals.requests == 2


def test_the_old_number_with_other_bytes_changes_nothing() -> None:
    ledger, wire = joined(), two_deltas()
    ledger.apply("w1", 1, wire.bodies[0])

    assert ledger.apply("w1", 1, b"anything") is Applied.DUPLICATE


def test_a_malformed_delta_changes_nothing() -> None:
    ledger, wire = joined(), two_deltas()
    ledger.apply("w1", 1, wire.bodies[0])
    before = ledger.view(detailed=True)

    for body in (b"", b"\xc1", wire.bodies[1][:-1], wire.bodies[0]):
        with pytest.raises(Malformed):
            ledger.apply("w1", 2, body)
    assert ledger.view(detailed=True) == before
    assert ledger.apply("w1", 2, wire.bodies[1]) is Applied.APPLIED


def test_a_delta_that_uses_unknown_names_is_malformed() -> None:
    ledger, wire = joined(), two_deltas()

    with pytest.raises(Malformed, match="never introduced"):
        ledger.apply("w1", 1, without_names())
    assert ledger.apply("w1", 1, wire.bodies[0]) is Applied.APPLIED


def without_names() -> bytes:
    wire = Wire()
    series = wire.recorder.series("GET", "/")
    wire.seal()
    series.ok(5, 5)
    wire.seal()
    return wire.bodies[1]


class FailingStore(MemoryStore):
    """Fails a number of times, then keeps."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.batches: list[Commit] = []

    def commit(self, batch: Commit) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.batches.append(batch)


def test_nothing_is_acknowledged_before_the_store_has_it() -> None:
    ledger, wire, store = joined(), two_deltas(), FailingStore(1)
    ledger.apply("w1", 1, wire.bodies[0])
    with pytest.raises(OSError, match="disk full"):
        ledger.commit(store)
    ledger.apply("w1", 2, wire.bodies[1])

    assert ledger.commit(store) == {"w1": 2}
    [batch] = store.batches
    assert sum(int(span.count.sum()) for span in batch.spans) == 4
    assert ledger.view(detailed=True).totals.requests == 4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(keys, latencies_us), min_size=1, max_size=40), st.integers(1, 4))
def test_commits_add_up_to_the_totals(samples: list[tuple[tuple[str, str], int]], every: int) -> None:
    ledger, wire, store = joined(), Wire(), FailingStore(0)
    for number, (key, us) in enumerate(samples):
        wire.recorder.series(*key).ok(us, 1)
        wire.seal()
        ledger.apply("w1", number + 1, wire.bodies[-1])
        if number % every == 0:
            ledger.commit(store)
    ledger.commit(store)

    slots = [slot for batch in store.batches for slot in batch.new_slots]
    counted: Counter[tuple[str, str]] = Counter()
    for batch in store.batches:
        for span in batch.spans:
            for number, count in zip(span.slots.tolist(), span.count.tolist(), strict=True):
                counted[slots[number].method, slots[number].name] += count
            assert int(span.counts.sum()) == int(span.count.sum())
    assert counted == Counter(key for key, _ in samples)


def test_a_corrupted_delta_is_noticed_by_the_audit() -> None:
    """A worker that loses a sample between recording and sealing (here: by us) is found out."""
    ledger, wire = joined(), two_deltas()
    ledger.apply("w1", 1, wire.bodies[0])
    wire.recorder.series("GET", "/0").tallies[0].sealed_count += 1  # type: ignore[index]
    wire.recorder.series("GET", "/0").ok(9, 1)
    wire.seal()

    ledger.apply("w1", 2, wire.bodies[1])
    assert ledger.apply("w1", 3, wire.bodies[2]) is Applied.APPLIED
    [warning] = ledger.view(detailed=False).warnings
    assert warning.startswith("LG601 delta 3 of worker w1 does not add up: GET /0")


def test_iterations_are_audited_too() -> None:
    ledger, wire = joined(), two_deltas()
    ledger.apply("w1", 1, wire.bodies[0])
    wire.recorder.sealed.books = (0,) * 6  # as if a seal had been forgotten
    wire.seal()
    ledger.apply("w1", 2, wire.bodies[1])
    ledger.apply("w1", 3, wire.bodies[2])

    [warning] = ledger.view(detailed=False).warnings
    assert warning.startswith("LG601 delta 3 of worker w1 does not add up: iterations")


def test_only_the_total_has_a_histogram_between_detailed_views() -> None:
    ledger, wire = joined(), two_deltas()
    ledger.apply("w1", 1, wire.bodies[0])
    view = ledger.view(detailed=False)

    assert view.endpoints[0].service.count == 1
    assert view.endpoints[0].service.histogram.count == 0
    assert view.totals.service.histogram.count == 1


def test_a_worker_report_says_how_far_it_is_and_how_it_fares() -> None:
    ledger, recorder = joined(), Recorder(FakeClock())
    assert ledger.report("w1") == WorkerReport("w1")
    lag = Histogram()
    lag.add(30_000, 100)
    recorder.users = {"Shopper": 7, "Admin": 0}
    recorder.series("GET", "/").ok(5, 1, 6)
    recorder.series("GET", "/").cancelled(6)
    recorder.books.started = 2
    recorder.books.ok = 1
    ledger.apply("w1", 1, seal(recorder, Window(0, 1_000), Health(95.0, 1 << 20, 7_000, lag, 3), False))
    ledger.apply("w1", 2, seal(recorder, Window(1_000, 1_020), Health(99.0, 2 << 20, 0, Histogram(), 0), True))
    report = ledger.report("w1")

    assert (report.last_seq, report.end_ms, report.final) == (2, 1_020, True)
    assert (report.users, report.users_by_class) == (7, {"Shopper": 7})
    assert (report.requests, report.iterations_in_flight) == (2, 1)
    assert (report.cpu_percent, report.cpu_percent_max) == (99.0, 95.0)  # 20 ms say nothing
    assert report.saturated_s == pytest.approx(1.02)
    assert report.lag_ms_p99 == pytest.approx(30, rel=0.004)
    assert (report.generator_errors, report.throttled_us, report.rss_bytes) == (3, 7_000, 2 << 20)


def test_log_records_are_handed_out_once() -> None:
    ledger, recorder = joined(), Recorder(FakeClock())
    for number in range(205):
        recorder.log(30, "shop", f"line {number}", 1.5)
    ledger.apply("w1", 1, seal(recorder, Window(0, 1_000), Health(), False))

    logs = ledger.logs()
    assert len(logs) == 200
    assert (logs[0].worker, logs[0].level, logs[0].message) == ("w1", 30, "line 0")
    assert ledger.logs() == []
    assert ledger.logs_dropped == 5


def test_names_of_all_workers_together_are_capped_too() -> None:
    ledger = Ledger()
    for worker in WORKERS[:2]:
        recorder = Recorder(FakeClock())
        for number in range(600):
            recorder.series("GET", f"/{worker}/{number}").ok(100, 1)
        ledger.join(worker)
        ledger.apply(worker, 1, seal(recorder, Window(0, 1_000), Health(), False))
    view = ledger.view(detailed=False)

    assert len(view.endpoints) == MAX_NAMES + 1
    assert view.totals.requests == 1_200
    assert {endpoint.name: endpoint.requests for endpoint in view.endpoints}[OTHER] == 200
    assert any(text.startswith("LG401") for text in view.warnings)


def test_error_groups_of_several_workers_merge_whatever_the_order() -> None:
    def view(order: tuple[str, ...]) -> LedgerView:
        ledger = Ledger()
        for worker in order:
            clock = FakeClock(now_ns=10**10)
            recorder = Recorder(clock)
            series = recorder.series("GET", "/")
            series.failed(1, 0, 0, Failure("check", f"order {worker[1]}1 missing"))
            clock.advance(0.5)
            series.failed(1, 0, 0, Failure("check", f"order {worker[1]}2 missing"))
            recorder.task_error("Shopper", ValueError(worker))
            ledger.join(worker)
            ledger.apply(worker, 1, seal(recorder, Window(3_000, 4_000), Health(), False))
        return ledger.view(detailed=True)

    one, other = view(("w1", "w2", "w3")), view(("w3", "w1", "w2"))

    assert one == other
    [group] = one.errors
    assert (group.count, group.signature, group.first_sample) == (6, "order <n> missing", "order 11 missing")
    assert (group.first_s, group.last_s) == (3.5, 4.0)
    assert one.task_errors[0].count == 3


def test_a_ledger_without_deltas_shows_an_empty_run() -> None:
    view = Ledger().view(detailed=True)

    assert view.totals.requests == 0
    assert view.accounting.closes()
    assert view.window.seconds == 0

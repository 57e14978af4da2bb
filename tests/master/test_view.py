"""What the last few seconds look like."""

from __future__ import annotations

import pytest

from loadgen.clock import FakeClock
from loadgen.master.ledger import HOT_S, Ledger
from loadgen.metrics.delta import Window, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.recorder import Recorder


class Worker:
    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger, self.name, self.seq = ledger, name, 0
        self.recorder = Recorder(FakeClock())
        ledger.join(name)

    def second(self, start_s: int, requests: int, us: int = 1_000, seconds: int = 1) -> None:
        for _ in range(requests):
            self.recorder.series("GET", "/").ok(us, 1)
        self.seq += 1
        window = Window(start_s * 1_000, (start_s + seconds) * 1_000)
        self.ledger.apply(self.name, self.seq, seal(self.recorder, window, Health(), False))


def test_rates_are_of_the_last_five_complete_seconds() -> None:
    ledger = Ledger()
    worker = Worker(ledger, "w1")
    for second, requests in enumerate([100, 1, 2, 3, 4, 5]):
        worker.second(second, requests)
    window = ledger.view(detailed=False).window

    assert (window.seconds, window.rps) == (5.0, 3.0)
    assert window.by_name == {("GET", "/"): 3.0}


def test_at_the_start_the_window_is_as_long_as_the_run() -> None:
    ledger = Ledger()
    Worker(ledger, "w1").second(0, 7)
    window = ledger.view(detailed=False).window

    assert (window.seconds, window.rps) == (1.0, 7.0)


def test_a_second_counts_when_all_workers_reported_it() -> None:
    ledger = Ledger()
    quick, slow = Worker(ledger, "w1"), Worker(ledger, "w2")
    quick.second(0, 10)
    slow.second(0, 10)
    quick.second(1, 10)

    assert ledger.view(detailed=False).window.rps == 20.0
    slow.second(1, 30)
    assert ledger.view(detailed=False).window.rps == 30.0


def test_a_worker_far_behind_does_not_hold_the_view_back() -> None:
    ledger = Ledger()
    quick, slow = Worker(ledger, "w1"), Worker(ledger, "w2")
    slow.second(0, 10)
    for second in range(8):
        quick.second(second, 10)

    assert ledger.view(detailed=False).window.rps == 10.0


def test_a_long_window_is_spread_over_its_seconds() -> None:
    ledger = Ledger()
    worker = Worker(ledger, "w1")
    worker.second(0, 10)
    worker.second(1, 90, seconds=9)

    assert ledger.view(detailed=False).window.rps == pytest.approx(10.0)


def test_percentiles_are_of_the_window_and_of_successes() -> None:
    ledger = Ledger()
    worker = Worker(ledger, "w1")
    worker.second(0, 50, us=900_000)
    for second in range(1, 6):
        worker.recorder.series("GET", "/").failed(1, 0, 0, Failure("reset", "reset"))
        worker.second(second, 10, us=200)
    window = ledger.view(detailed=False).window

    assert (window.p50_us, window.p99_us) == (200.0, 200.0)
    assert window.failures_per_s == 1.0


def test_percentiles_of_the_window_contain_the_queue_wait() -> None:
    ledger = Ledger()
    worker = Worker(ledger, "w1")
    for _ in range(10):
        worker.recorder.series("GET", "/").ok(100, 1, 100)
    worker.second(0, 0)
    window = ledger.view(detailed=False).window

    assert window.p50_us == 200.0
    assert window.rps == 10.0  # by service and by response time, yet counted once


def test_old_seconds_are_let_go_and_totals_kept() -> None:
    ledger = Ledger()
    worker = Worker(ledger, "w1")
    for second in range(HOT_S + 30):
        worker.second(second, 1)
        ledger.view(detailed=False)

    assert len(ledger._hot) == HOT_S
    assert ledger.view(detailed=True).totals.requests == HOT_S + 30

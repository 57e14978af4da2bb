"""Any history of a run for the laws of the stores: workers that record, seal, deliver; commits; crashes."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.master.ledger import Applied, Ledger
from loadgen.metrics.delta import Window, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.recorder import Recorder

WORKERS = ("w1", "w2", "w3")

Operation = tuple[str, str, tuple[str, str], int]

keys = st.sampled_from([("GET", "/"), ("POST", "/cart"), ("GET", "/item/[id]")])
numbers = st.integers(0, 400) | st.integers(0, 5_000_000_000)
recordings = st.sampled_from(["ok", "ok", "waited", "failed", "cancelled", "phase", "note", "raise", "warn"])
acts = st.sampled_from(["seal", "late seal", "deliver", "deliver"])
# Most histories are to be long and to commit often, or crashes would find little to forget.
usual = st.sampled_from(["second", "second", "second", "commit", "commit", "crash"])
operations = st.tuples(usual | usual | usual | recordings | acts, st.sampled_from(WORKERS), keys, numbers)
histories = st.lists(operations, max_size=20) | st.lists(operations, min_size=20, max_size=60)


@dataclasses.dataclass
class Sender:
    """One worker: what it measured, and the deltas it has sealed, in order."""

    recorder: Recorder = dataclasses.field(default_factory=lambda: Recorder(FakeClock(now_ns=10**12)))
    bodies: list[bytes] = dataclasses.field(default_factory=list)
    sealed_ms: int = 0

    def record(self, kind: str, key: tuple[str, str], number: int) -> None:
        recorder = self.recorder
        recorder.users["Shopper" if number % 3 else "Admin"] = number % 5
        if kind in ("ok", "waited"):
            recorder.series(*key).ok(number, 7, 30_000 if kind == "waited" else 0)
            recorder.books.started += 1
            recorder.books.ok += 1
            recorder.connections_opened += number % 2
            recorder.requests_on_reused += 1
        elif kind == "failed":
            recorder.series(*key).failed(number, 3, number % 2, Failure("reset", f"broke after {number}", "body"))
        elif kind == "cancelled":
            recorder.series(*key).cancelled(number)
        elif kind == "phase":
            recorder.series(*key).phase("tls", number)
        elif kind == "note":
            recorder.check(key[1], bool(number % 2))
            recorder.count("sold", number / 7)
        elif kind == "raise":
            recorder.task_error("Shopper", ValueError(str(number)))
        else:
            recorder.warn(f"LG499 warning {number}")
            recorder.log(30, "shop", f"line {number}", 1.5)

    def seal(self, number: int, seconds: int = 1, final: bool = False) -> None:
        lag = Histogram()
        lag.add(number % 100_000, 1 + number % 3)
        health = Health(float(number % 120), number % 2**30, number % 1_000, lag, number % 2)
        window = Window(self.sealed_ms, self.sealed_ms + seconds * 1_000)
        self.sealed_ms = window.end_ms
        self.bodies.append(seal(self.recorder, window, health, final))


def second(sender: Sender, key: tuple[str, str], number: int) -> None:
    """A second like any other: a bit of everything, and its delta."""
    for kind in ("ok", "waited", "failed", "cancelled", "phase", "note", "raise", "warn"):
        if number % 7 or kind == "ok":
            sender.record(kind, key, number % 997)
    sender.seal(number)


def what_it_shows(ledger: Ledger, joined: tuple[str, ...] = WORKERS) -> tuple[Any, ...]:
    """Everything a ledger tells anybody, and the hub lags of which it tells only percentiles."""
    lags = [ledger._sessions[worker].lag.items() for worker in joined]
    return ledger.view(detailed=True), ledger.logs_dropped, [ledger.report(worker) for worker in joined], lags


def deliver(ledger: Ledger, worker: str, sender: Sender) -> bool:
    """Hand over the next delta; whether there was one."""
    after = ledger.report(worker).last_seq
    if after >= len(sender.bodies):
        return False
    assert ledger.apply(worker, after + 1, sender.bodies[after]) is Applied.APPLIED
    return True

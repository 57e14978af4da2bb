"""What one worker report costs the master: decode, checks, audit, merge, hot seconds, commit.

    python -m benchmarks.ledger_report

1,000 simulated workers with 20 names of 100 buckets each report once a second; in-process, so the
socket is not in the figures (about 3 µs). The ledger commits ten times a second, as the master does.
"""

from __future__ import annotations

import json
import random
import time

from loadgen.clock import FakeClock
from loadgen.limits import calm_gc
from loadgen.master.ledger import Ledger
from loadgen.master.store import MemoryStore
from loadgen.metrics.delta import Window, decode, seal
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram, bucket_bounds_us
from loadgen.metrics.recorder import Recorder

WORKERS = 1_000
NAMES = 20
BUCKETS_PER_NAME = 100
REPORTS = 4  # seconds of reports per worker; names travel only in the first
COMMITS_PER_S = 10
_BODIES = 50  # distinct streams, shared by the workers, so that making them takes a second and not a minute


def measure() -> dict[str, float]:
    """CPU microseconds per report in all, of that per decode, per seal; and the size of a body in bytes."""
    streams, seal_us = _streams()
    ledger, store = Ledger(), MemoryStore()
    workers = [f"w{number}" for number in range(1, WORKERS + 1)]
    for worker in workers:
        ledger.join(worker)
    calm_gc()  # as the master does
    _second(ledger, store, workers, streams, 0)  # names and slots are new only once
    started = time.process_time()
    for second in range(1, REPORTS):
        _second(ledger, store, workers, streams, second)
    report_us = (time.process_time() - started) / (WORKERS * (REPORTS - 1)) * 1e6
    bodies = [stream[1] for stream in streams]
    return {
        "us_per_report": report_us,
        "us_per_decode": _us_per_decode(bodies),
        "us_per_seal": seal_us,
        "bytes_per_report": sum(map(len, bodies)) / len(bodies),
    }


def _second(ledger: Ledger, store: MemoryStore, workers: list[str], streams: list[list[bytes]], second: int) -> None:
    for number, worker in enumerate(workers):
        ledger.apply(worker, second + 1, streams[number % _BODIES][second])
        if number % (WORKERS // COMMITS_PER_S) == 0:
            ledger.commit(store)


def _streams() -> tuple[list[list[bytes]], float]:
    """(bodies of each distinct worker in order, CPU microseconds per seal)."""
    rng = random.Random(1)
    recorders = [Recorder(FakeClock()) for _ in range(_BODIES)]
    streams: list[list[bytes]] = [[] for _ in recorders]
    spent_s = 0.0
    for second in range(REPORTS):
        for recorder, stream in zip(recorders, streams, strict=True):
            _fill(recorder, rng)
            started = time.process_time()
            stream.append(seal(recorder, Window(second * 1000, second * 1000 + 1000), _health(), False))
            spent_s += time.process_time() - started
    return streams, spent_s / (_BODIES * REPORTS) * 1e6


def _fill(recorder: Recorder, rng: random.Random) -> None:
    for number in range(NAMES):
        series = recorder.series("GET", f"/endpoint/{number}")
        for index in rng.sample(range(500, 1_500), BUCKETS_PER_NAME):
            us, _width = bucket_bounds_us(index)
            for _ in range(rng.randint(1, 5)):
                series.ok(us, 2_000)
    recorder.books.started += 300 * NAMES
    recorder.books.ok += 300 * NAMES
    recorder.users["Shopper"] = 100


def _health() -> Health:
    lag = Histogram()
    for us in range(100, 2_100, 100):
        lag.add(us)
    return Health(55.0, 80 << 20, 0, lag, 0)


def _us_per_decode(bodies: list[bytes]) -> float:
    started = time.process_time()
    for _ in range(10):
        for body in bodies:
            decode(body)
    return (time.process_time() - started) / (10 * len(bodies)) * 1e6


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

"""What recording one request costs a worker.

python -m benchmarks.recorder
"""

from __future__ import annotations

import json
import random
import timeit
from collections.abc import Callable

from loadgen.metrics.failure import Failure
from loadgen.metrics.recorder import Recorder

RECORDS = 20_000


def measure() -> dict[str, float]:
    """Nanoseconds per record: successful, successful with a queue wait, failed; and per look-up of a series."""
    rng = random.Random(1)
    durations = [round(rng.lognormvariate(7, 0.6)) for _ in range(RECORDS)]  # about 1 ms
    recorder = Recorder()
    series = recorder.series("GET", "/")
    failure = Failure("http_5xx", "HTTP 503", phase="headers")

    def ok() -> None:
        record = series.ok
        for us in durations:
            record(us, 612)

    def waited() -> None:
        record = series.ok
        for us in durations:
            record(us, 612, 250)

    def failed() -> None:
        record = series.failed
        for us in durations:
            record(us, 612, 0, failure)

    def look_up() -> None:
        find = recorder.series
        for _ in durations:
            find("GET", "/")

    return {
        "ns_per_ok": _best_ns(ok),
        "ns_per_ok_waited": _best_ns(waited),
        "ns_per_failed": _best_ns(failed),
        "ns_per_series_lookup": _best_ns(look_up),
    }


def _best_ns(loop: Callable[[], None]) -> float:
    return min(timeit.repeat(loop, number=1, repeat=5)) / RECORDS * 1e9


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

"""The same two parts in Locust: one worker report at its master, one record at its worker.

Run by Locust's Python; prints JSON as our own parts do. A report has 20 names with 100 response times each, as
Locust's worker would send it, and comes from 1,000 workers in turn; the socket is left out.

    .venv-bench/bin/python benchmarks/load/locust_parts.py
"""

import json
import random
import time
from typing import Any

from locust.env import Environment
from locust.rpc.protocol import Message
from locust.stats import RequestStats, setup_distributed_stats_event_listeners

NAMES, BUCKETS, WORKERS = 20, 100, 1_000
ROUNDED_MS = [*range(1, 100), *range(100, 1000, 10), *range(1000, 10_000, 100)]  # Locust's buckets up to 10 s
REPORTS = 3_000
RECORDS = 100_000


def report() -> bytes:
    """One second of a worker's statistics, serialised."""
    stats = RequestStats()
    rng = random.Random(1)
    for name in range(NAMES):
        for milliseconds in rng.sample(ROUNDED_MS, BUCKETS):
            for _ in range(3):
                stats.log_request("GET", f"/endpoint/{name}", milliseconds, 512)
    environment = Environment()
    setup_distributed_stats_event_listeners(environment.events, stats)
    data: dict[str, Any] = {}
    environment.events.report_to_master.fire(client_id="w1", data=data)
    data["user_count"] = 100
    data["user_classes_count"] = {"Asker": 100}
    raw: bytes = Message("stats", data, "w1").serialize()
    return raw


def us_per_report() -> float:
    """CPU microseconds to decode a report and merge it into the master's statistics."""
    environment = Environment()
    setup_distributed_stats_event_listeners(environment.events, RequestStats())
    raw = report()
    began = time.process_time_ns()
    for number in range(REPORTS):
        message = Message.unserialize(raw)
        environment.events.worker_report.fire(client_id=f"w{number % WORKERS}", data=message.data)
    return (time.process_time_ns() - began) / 1000 / REPORTS


def ns_per_record() -> float:
    """CPU nanoseconds to record one successful request of about a millisecond."""
    stats = RequestStats()
    began = time.process_time_ns()
    for number in range(RECORDS):
        stats.log_request("GET", "/", 1.0 + number % 50 / 10, 612)
    return (time.process_time_ns() - began) / RECORDS


if __name__ == "__main__":
    print(json.dumps({"us_per_report": us_per_report(), "ns_per_ok": ns_per_record()}))

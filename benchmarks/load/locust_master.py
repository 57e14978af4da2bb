"""CPU microseconds Locust's master spends on one worker report: decode, then its own statistics handlers.

Run by Locust's Python. The report has 20 names with 100 response times each, as Locust's worker would send it, and
comes from 1,000 workers in turn; the socket is left out.

    .venv-bench/bin/python benchmarks/load/locust_master.py
"""

import json
import sys
import time

from locust.env import Environment
from locust.rpc.protocol import Message
from locust.stats import RequestStats, setup_distributed_stats_event_listeners

NAMES, BUCKETS, WORKERS = 20, 100, 1_000
REPORTS = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000


def report() -> bytes:
    """One second of a worker's statistics, serialised."""
    stats = RequestStats()
    for name in range(NAMES):
        for bucket in range(BUCKETS):
            for _ in range(3):
                stats.log_request("GET", f"/endpoint/{name}", 10 + bucket, 512)
    environment = Environment()
    setup_distributed_stats_event_listeners(environment.events, stats)
    data: dict = {}
    environment.events.report_to_master.fire(client_id="w1", data=data)
    data["user_count"] = 100
    data["user_classes_count"] = {"Asker": 100}
    return Message("stats", data, "w1").serialize()


def main() -> None:
    environment = Environment()
    stats = RequestStats()
    setup_distributed_stats_event_listeners(environment.events, stats)
    raw = report()
    began = time.process_time_ns()
    for number in range(REPORTS):
        message = Message.unserialize(raw)
        environment.events.worker_report.fire(client_id=f"w{number % WORKERS}", data=message.data)
    spent = time.process_time_ns() - began
    print(json.dumps({"us_per_report": spent / 1000 / REPORTS, "bytes": len(raw)}))


if __name__ == "__main__":
    main()

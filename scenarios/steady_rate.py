"""A fixed rate per user, however long the answers take, and what must hold at it.

Each user starts an iteration 5 times a second. When the target is slower than that, the start comes late, and the
lateness is part of the response time: a pause of the target is seen, not skipped.
"""

from loadgen import HttpUser, constant_throughput, task

thresholds = [
    "errors < 1%",
    "p99 < 500ms",
    "p95 of '/delay/10ms' < 200ms",
]


class Meter(HttpUser):
    wait_time = constant_throughput(5)

    @task
    def measure_it(self):
        self.client.get("/delay/10ms")

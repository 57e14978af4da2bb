"""The scenario that benchmarks run with loadgen; the environment says what to ask for."""

import os

from loadgen import HttpUser, constant, task

PATH = os.environ.get("BENCH_PATH", "/")
HEADERS = {"Connection": "close"} if os.environ.get("BENCH_CLOSE") else None


class Asker(HttpUser):
    verify = os.environ.get("BENCH_CA") or True
    wait_time = constant(3600 if os.environ.get("BENCH_IDLE") else 0)

    @task
    def ask(self) -> None:
        self.client.get(PATH, headers=HEADERS)

"""The scenario that benchmarks run with loadgen; the environment says what to ask for."""

import os
from typing import Any

from loadgen import HttpUser, constant, task

PATH = os.environ.get("BENCH_PATH", "/")
OPTIONS: dict[str, Any] = {"headers": {"Connection": "close"}} if os.environ.get("BENCH_CLOSE") else {}


class Asker(HttpUser):
    verify = os.environ.get("BENCH_CA") or True
    wait_time = constant(3600 if os.environ.get("BENCH_IDLE") else 0)

    @task
    def ask(self) -> None:
        self.client.get(PATH, **OPTIONS)

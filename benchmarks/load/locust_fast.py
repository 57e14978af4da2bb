"""The same for Locust's fast client."""

import os

from locust import FastHttpUser, constant, task

PATH = os.environ.get("BENCH_PATH", "/")
OPTIONS = {"headers": {"Connection": "close"}} if os.environ.get("BENCH_CLOSE") else {}


class Asker(FastHttpUser):  # type: ignore[misc]  # Locust is not in this environment
    wait_time = constant(3600 if os.environ.get("BENCH_IDLE") else 0)

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        self.client.get(PATH, **OPTIONS)

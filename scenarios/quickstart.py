"""The smallest useful load test: one kind of user, two tasks, two things that must hold.

loadgen run scenarios/quickstart.py -H http://localhost:8000 -u 50 -t 1m
"""

from loadgen import HttpUser, between, task

thresholds = ["p95 < 300ms", "errors < 1%"]


class Visitor(HttpUser):
    wait_time = between(0.1, 0.5)

    @task(3)
    def browse(self):
        self.client.get(f"/item/{self.rng.randrange(10_000)}", name="/item/[id]")

    @task
    def search(self):
        self.client.get("/search", params={"q": "lamp"}, name="/search")

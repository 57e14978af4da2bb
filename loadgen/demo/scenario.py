"""The demo's scenario: visitors of a small shop, who look around more often than they buy."""

from __future__ import annotations

from loadgen import HttpUser, between, task

thresholds = ["errors < 10%", "p95 < 5s"]


class Visitor(HttpUser):
    """Looks at the shop, searches, sometimes orders, and thinks for two seconds in between."""

    wait_time = between(1, 3)

    @task(2)
    def home(self) -> None:
        self.client.get("/")

    @task(5)
    def item(self) -> None:
        reply = self.client.get(f"/item/{self.rng.randrange(10_000)}", name="/item/[id]")
        if reply.ok:
            self.check("item has a price", "price" in reply.json())

    @task(2)
    def search(self) -> None:
        self.client.get("/search", params={"q": "thing"}, name="/search")

    @task
    def order(self) -> None:
        reply = self.client.post("/order", json={"item": 7})
        if reply.ok:
            self.check("order has a number", "order" in reply.json())

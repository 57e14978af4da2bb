"""Test data that all users of all workers share: no account is used twice, items are drawn at random.

Each user takes one row of members.csv that nobody else has; with more users than rows, those that find
none end. `on_end="wait"` would let them wait for one, `"recycle"` would begin again with the first row.
"""

from loadgen import HttpUser, between, data, task

members = data.csv("members.csv", strategy="unique", on_end="stop")
items = data.rows(["kettle", "lamp", "chair"], strategy="random")


class Member(HttpUser):
    wait_time = between(0.1, 0.3)

    def on_start(self):
        self.account = members.next(self)
        self.client.post("/login", json=self.account)

    @task
    def look_at_an_item(self):
        self.client.get(f"/item/{items.next(self)}", name="/item/[name]")

"""Who comes how often, and which part of the test to run.

`weight` shares the users out between classes, `fixed_count` takes a constant number of them first, and a task's
number is its weight among the tasks of its class. `--tags read` runs only what is tagged so.
"""

from loadgen import HttpUser, between, tag, task


class Reader(HttpUser):
    weight = 9
    wait_time = between(0.05, 0.2)

    @tag("read")
    @task(10)
    def read(self):
        self.client.get("/article")

    @tag("write")
    @task(1)
    def comment(self):
        self.client.post("/comment", data={"text": "Well put."})


class Editor(HttpUser):
    weight = 1
    wait_time = between(0.1, 0.4)

    @tag("write")
    @task
    def publish(self):
        self.client.put("/article", json={"title": "On load"})


class Monitor(HttpUser):
    fixed_count = 1  # exactly one, however many users the run has
    wait_time = between(0.5, 1)

    @tag("read", "health")
    @task
    def health(self):
        self.client.get("/health")

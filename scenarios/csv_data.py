"""Test data with the standard library: each user takes the next row, and begins again after the last.

The file is read once in each worker process, so every worker goes through all rows.
"""

import csv
from itertools import cycle
from pathlib import Path

from loadgen import HttpUser, between, task

with open(Path(__file__).with_name("accounts.csv"), newline="") as file:
    ACCOUNTS = cycle(list(csv.DictReader(file)))


class Member(HttpUser):
    wait_time = between(0.1, 0.3)

    def on_start(self):
        self.account = next(ACCOUNTS)
        self.client.post("/login", json=self.account)

    @task
    def profile(self):
        self.client.get(f"/member/{self.account['user']}", name="/member/[user]")

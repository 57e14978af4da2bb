"""A master and its workers as processes of their own, and what the target says against what they counted."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from loadgen.wire.keys import new_secret
from tests.support.command import ROOT, Background, free_port, wait_until
from tests.support.target import Target

USERS = 9
SCENARIO = """
import os
from itertools import count

from loadgen import HttpUser, constant, task

numbers = count()

class Visitor(HttpUser):
    wait_time = constant(0.04)

    @task
    def page(self):
        who = f"{self.environment.runner.worker_index}-{next(numbers)}-{self.identity.ordinal}-{os.getpid()}"
        self.client.get("/page", headers={"X-Request-Id": who})
"""


class Machine:
    """`loadgen worker` with one worker process: suspended, resumed and killed like a machine of its own."""

    def __init__(self, running: Background) -> None:
        self.running = running
        self._supervisor = psutil.Process(running.process.pid)

    def signal(self, number: signal.Signals) -> None:
        """To the worker process first: it must not live to see the end of its supervisor."""
        for process in [*self._supervisor.children(recursive=True), self._supervisor]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    @property
    def pid(self) -> int:
        """The worker process."""
        return int(self._supervisor.children()[0].pid)


class Cluster:
    """One run with workers that join. `host` is where the master listens."""

    def __init__(self, folder: Path, target: Target, lease_s: float = 2, host: str = "127.0.0.1") -> None:
        self.target = target
        self.folder = folder
        self.address = f"{host}:{free_port()}"
        self.secret = new_secret()
        self.runs = folder / "runs"
        self.runs.mkdir()
        self._scenario, self._secret = folder / "visit.py", folder / "secret"
        self._scenario.write_text(SCENARIO)
        self._secret.write_text(self.secret.hex())
        self._summary = folder / "summary.json"
        self._common = ["--secret-file", str(self._secret), "--lease", f"{lease_s:g}s", "--json", str(self._summary)]
        self._started = 0

    @contextmanager
    def master(self, workers: int, *options: str, prefix: list[str] | None = None) -> Iterator[Background]:
        words = ["run", str(self._scenario), "-u", str(USERS), "-r", "100", "-t", "10m", "-H", self.target.url]
        words += ["--listen", self.address, "--expect-workers", str(workers), "--runs-dir", str(self.runs)]
        with self._start([*words, *self._common, *options], prefix) as running:
            yield running

    @contextmanager
    def resumed(self) -> Iterator[Background]:
        with self._start(["run", "--resume", str(self.run_file), *self._common]) as running:
            yield running

    @contextmanager
    def worker(self) -> Iterator[Machine]:
        with self._start(["worker", "--master", self.address, "--processes", "1", "--once", *self._common[:2]]) as its:
            machine = Machine(its)
            try:
                yield machine
            finally:
                with suppress(psutil.NoSuchProcess):
                    machine.signal(signal.SIGKILL)

    @contextmanager
    def _start(self, words: list[str], prefix: list[str] | None = None) -> Iterator[Background]:
        self._started += 1
        output = self.folder / f"output-{self._started}"
        command = [*(prefix or []), sys.executable, "-P", "-m", "loadgen", *words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with (
            output.open("wb") as file,
            subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            ) as process,
        ):
            running = Background(process, output)
            try:
                yield running
            finally:
                running.end()

    # -- what is going on

    @property
    def run_file(self) -> Path:
        (file,) = self.runs.glob("*.db")
        return file

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the run file, which its master has open."""
        with closing(sqlite3.connect(f"file:{self.run_file}?mode=ro", uri=True, timeout=5)) as db:
            return db.execute(sql).fetchall()

    def last_seq(self, worker: str) -> int:
        """The number of the last delta of this worker that is committed."""
        rows = self.ask(f"SELECT last_seq FROM workers WHERE worker = '{worker}'")
        return int(rows[0][0]) if rows else 0

    def wait_for_a_delta(self, *workers: str, timeout_s: float = 20) -> None:
        """Until one more delta of each of these was committed."""
        before = {worker: self.last_seq(worker) for worker in workers}
        wait_until(lambda: all(self.last_seq(worker) > seq for worker, seq in before.items()), timeout_s)

    def name_of(self, machine: Machine) -> str:
        """What the master calls this worker; it must have sent a request."""
        return next(f"w{index + 1}" for index, *_, pid in self.ids() if pid == machine.pid)

    def ids(self) -> list[list[int]]:
        """(worker index, number, user, process) of every request served, in order of arrival."""
        return [[int(part) for part in one.split("-")] for one in self.target.request_ids("/page")]

    def served_by_worker(self) -> Counter[str]:
        return Counter(f"w{index + 1}" for index, *_ in self.ids())

    def users_of(self, worker: str, since: int = 0) -> set[int]:
        """The users of this worker that were served since so many requests."""
        return {user for index, _, user, _ in self.ids()[since:] if f"w{index + 1}" == worker}

    def wait_for_everybody(self, workers: int, timeout_s: float = 30) -> None:
        """Until every user of the plan was served, by so many workers."""
        wait_until(lambda: len(self.ids()) > 100 and len(self.served_by_worker()) == workers, timeout_s)
        self.wait_for_all_users()

    def wait_for_all_users(self, but_not_from: str = "", timeout_s: float = 20) -> None:
        """Until every user was served again, by other workers than this one."""
        since = len(self.ids())
        wait_until(
            lambda: len({user for index, _, user, _ in self.ids()[since:] if f"w{index + 1}" != but_not_from}) == USERS,
            timeout_s,
        )

    def wait_for_more(self, requests: int = 100, timeout_s: float = 20) -> None:
        since = self.target.count()
        wait_until(lambda: self.target.count() >= since + requests, timeout_s)

    # -- the end

    def end(self, master: Background) -> None:
        """Ctrl-C: the run ends in good order."""
        master.process.send_signal(signal.SIGINT)
        assert master.finish(25) == 2, master.output

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self._summary.read_text()))

    def account(self, row: str) -> tuple[int, int]:
        """Requests served and counted, printed for whoever reads the log of the tests."""
        served, counted = self.target.count(), int(self.summary["totals"]["requests"])
        print(f"{row}: served {served}, counted {counted}, difference {served - counted}")
        return served, counted

    def difference_by_worker(self) -> dict[str, int]:
        """Served − counted, of every worker; workers with nothing missing are left out."""
        served = self.served_by_worker()
        counted = {worker["id"]: worker["requests"] for worker in self.summary["workers"]}
        return {name: served[name] - counted[name] for name in counted if served[name] != counted[name]}

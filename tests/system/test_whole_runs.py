"""Whole runs in real processes: books that close, stops, losses, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.command import ROOT, Finished, run_loadgen, wait_until
from tests.support.target import Target

SCENARIO = """
from loadgen import HttpUser, constant, task

class Visitor(HttpUser):
    wait_time = constant(0.005)

    @task
    def page(self):
        self.client.get("/page")
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[str], Path]:
    """A scenario file with this text."""

    def write(text: str = SCENARIO) -> Path:
        file = tmp_path / "visit.py"
        file.write_text(text)
        return file

    return write


def assert_books_close(run: Finished) -> None:
    books = run.summary["accounting"]
    totals = run.summary["totals"]
    assert books["planned"] == books["started"] + books["dropped"]
    assert books["started"] == books["ok"] + books["failed"] + books["cancelled"] + books["in_flight"]
    assert books["in_flight"] == 0
    assert totals["requests"] == sum(row["requests"] for row in run.summary["endpoints"])


@pytest.mark.parametrize("workers", ["1", "2", "inline"])
def test_the_target_served_exactly_what_the_summary_counts(
    counting_target: Target, scenario: Callable[[str], Path], workers: str
) -> None:
    run = run_loadgen(
        scenario(SCENARIO), "-u", "12", "-r", "50", "-t", "2s", "-H", counting_target.url, "--workers", workers
    )

    assert run.code == 0, run.explain()
    assert run.requests == counting_target.count("/page") > 100
    assert run.summary["run"]["complete"] is True
    assert len(run.summary["workers"]) == (1 if workers == "inline" else int(workers))
    assert_books_close(run)


def test_one_interrupt_stops_gracefully_and_counts_everything(
    counting_target: Target, scenario: Callable[[str], Path]
) -> None:
    run = run_loadgen(
        scenario(SCENARIO),
        *("-u", "8", "-t", "60s", "-H", counting_target.url, "--workers", "2"),
        interrupt_when=lambda: counting_target.count("/page") > 50,
    )

    assert run.code == 2, run.explain()
    assert run.requests == counting_target.count("/page") > 50
    assert run.summary["run"]["complete"] is True
    assert_books_close(run)


SLOW = """
from loadgen import HttpUser, task

class Patient(HttpUser):
    @task
    def page(self):
        self.client.get("/delay/30s")
"""


def test_users_that_do_not_finish_in_time_are_cancelled_and_counted(
    counting_target: Target, scenario: Callable[[str], Path]
) -> None:
    run = run_loadgen(
        scenario(SLOW),
        *("-u", "5", "-r", "100", "-t", "1s", "-H", counting_target.url, "--workers", "1", "--stop-timeout", "200ms"),
    )

    assert run.summary["totals"]["cancelled"] == run.requests == 5, run.explain()
    assert run.summary["accounting"]["cancelled"] == 5
    assert_books_close(run)


def test_a_second_interrupt_does_not_wait_for_users(
    counting_target: Target, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "loadgen", "run", str(scenario(SLOW)), "-u", "3", "-H", counting_target.url]
    command += ["--workers", "1", "--stop-timeout", "60s", "--json", str(tmp_path / "s.json"), "--progress", "off"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        wait_until(lambda: connections_of_workers(process.pid, counting_target.port) == 3, 30)
        process.send_signal(signal.SIGINT)
        for line in process.stdout:
            if "stopping" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        code = process.wait(30)

    assert code == 2, rest
    assert (tmp_path / "s.json").exists()


def connections_of_workers(pid: int, port: int) -> int:
    """How many connections the children of this master have to the target."""
    return sum(connections_of(child, port) for child in psutil.Process(pid).children())


def connections_of(process: psutil.Process, port: int) -> int:
    """How many connections one process has to the target."""
    return sum(1 for one in process.net_connections("tcp") if one.raddr and one.raddr.port == port)


def test_a_killed_worker_is_named_and_others_take_over_its_users(
    counting_target: Target, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "s.json"
    command = [sys.executable, "-m", "loadgen", "run", str(scenario(SCENARIO)), "-u", "8", "-t", "6s"]
    command += ["-H", counting_target.url, "--workers", "2", "--json", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until(lambda: connections_of_workers(process.pid, counting_target.port) == 8, 30)
        victim, survivor = psutil.Process(process.pid).children()
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda: connections_of(survivor, counting_target.port) == 8, 30)
        output, _ = process.communicate(timeout=60)
    run = Finished(process.returncode, output, "", json.loads(file.read_text()))

    assert run.summary["run"]["complete"] is False
    assert "SIGKILL" in output
    lost = [worker for worker in run.summary["workers"] if worker["state"] == "lost"]
    assert len(lost) == 1
    assert 0 < run.requests <= counting_target.count("/page")


def test_workers_end_with_a_master_that_was_killed(counting_target: Target, scenario: Callable[[str], Path]) -> None:
    command = [sys.executable, "-m", "loadgen", "run", str(scenario(SCENARIO)), "-u", "4", "-t", "60s"]
    command += ["-H", counting_target.url, "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: counting_target.count("/page") > 20, 30)
        children = psutil.Process(process.pid).children()
        process.kill()
        gone, alive = psutil.wait_procs(children, timeout=20)

    assert len(gone) == 2
    assert alive == []


def test_a_run_whose_users_have_all_stopped_ends_by_itself(
    counting_target: Target, scenario: Callable[[str], Path]
) -> None:
    text = SCENARIO.replace('get("/page")', 'get("/page")\n        raise StopUser').replace(
        "task\n", "task, StopUser\n", 1
    )
    run = run_loadgen(scenario(text), "-u", "7", "-r", "100", "-H", counting_target.url, "--workers", "2")

    assert run.code == 0, run.explain()
    assert run.requests == counting_target.count("/page") == 7


def test_a_certificate_that_is_not_there_ends_the_run_before_it_begins(
    counting_target: Target, scenario: Callable[[str], Path]
) -> None:
    text = SCENARIO.replace("    @task", '    verify = "/nowhere/ca.pem"\n\n    @task')
    run = run_loadgen(scenario(text), "-u", "2", "-t", "5s", "-H", counting_target.url, "--workers", "1")

    assert run.code not in (0, 1, 2), run.explain()
    assert "Visitor: cannot read the CA certificates in /nowhere/ca.pem" in run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    assert counting_target.count("/page") == 0


def test_a_scenario_that_breaks_only_in_the_worker_is_reported(
    counting_target: Target, scenario: Callable[[str], Path], tmp_path: Path
) -> None:
    text = f'import os\nif os.path.exists({str(tmp_path / "flag")!r}): raise ValueError("only once")\n'
    text += f'open({str(tmp_path / "flag")!r}, "w").close()\n' + SCENARIO
    run = run_loadgen(scenario(text), "-t", "5s", "-H", counting_target.url, "--workers", "1", summary=False)

    assert run.code == 4, run.explain()
    assert "only once" in run.stderr
    assert "worker w1" in run.stderr


def test_a_failed_threshold_makes_exit_code_1(counting_target: Target, scenario: Callable[[str], Path]) -> None:
    run = run_loadgen(
        scenario(SCENARIO.replace("/page", "/status/503")),
        *("-u", "2", "-t", "1s", "-H", counting_target.url, "--workers", "1"),
    )

    assert run.code == 1, run.explain()
    (threshold,) = run.summary["thresholds"]
    assert threshold["expr"] == "errors < 1%"
    assert threshold["ok"] is False


def test_a_target_that_is_not_there_fails_the_run_not_the_generator(scenario: Callable[[str], Path]) -> None:
    run = run_loadgen(scenario(SCENARIO), *("-u", "2", "-t", "1s", "-H", "http://127.0.0.1:9", "--workers", "1"))

    assert run.code == 1, run.explain()
    assert {error["category"] for error in run.summary["errors"]} == {"connect_refused"}
    assert run.summary["totals"]["failures"] == run.requests > 0


def test_a_seed_gives_the_same_choices_on_any_number_of_workers(
    counting_target: Target, scenario: Callable[[str], Path]
) -> None:
    text = """
from loadgen import HttpUser, StopUser, task

class Chooser(HttpUser):
    def on_start(self):
        self.left = 20

    @task(3)
    def a(self):
        self.visit("a")

    @task(1)
    def b(self):
        self.visit("b")

    def visit(self, name):
        self.client.get(f"/{name}/{self.rng.randrange(5)}", name=name)
        self.left -= 1
        if not self.left:
            raise StopUser
"""
    seen = []
    for workers in ("1", "2"):
        counting_target.reset()
        run = run_loadgen(
            scenario(text), "-u", "6", "-r", "100", "-H", counting_target.url, "--workers", workers, "--seed", "42"
        )
        assert run.requests == 120, run.explain()
        seen.append(counting_target.stats()["requests"])

    assert seen[0] == seen[1]

"""Workers that join from elsewhere, as processes of their own: waiting, joining, leaving, and being kept out."""

from __future__ import annotations

import json
import signal
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadgen.wire.keys import new_secret
from tests.support.command import Background, free_port, in_background, run_loadgen, wait_until
from tests.support.target import Target

SCENARIO = """
from loadgen import HttpUser, constant, task

class Visitor(HttpUser):
    wait_time = constant(0.02)

    @task
    def page(self):
        self.client.get(f"/user/{self.identity.ordinal}", name="/user/[id]")
"""
USERS = 8


class Site:
    """A scenario, a secret and an address: what a master and its workers have in common."""

    def __init__(self, folder: Path, target: Target) -> None:
        self.target = target
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.scenario = folder / "visit.py"
        self.scenario.write_text(SCENARIO)
        self.secret, self.wrong_secret = folder / "secret", folder / "wrong"
        for file in (self.secret, self.wrong_secret):
            file.write_text(new_secret().hex())
        self._summary = folder / "summary.json"

    def master(self, *options: str) -> AbstractContextManager[Background]:
        """`loadgen run --listen`, with these options."""
        words = ["run", str(self.scenario), "-u", str(USERS), "-r", "100", "-H", self.target.url]
        words += ["--listen", self.address, "--secret-file", str(self.secret), "--json", str(self._summary)]
        return in_background(*words, *options)

    def worker(self, *options: str, secret: Path | None = None) -> AbstractContextManager[Background]:
        """`loadgen worker` with one process."""
        words = ["worker", "--master", self.address, "--processes", "1", "--secret-file", str(secret or self.secret)]
        return in_background(*words, *options, cwd=self.scenario.parent)

    def doctor(self, *options: str) -> tuple[int, str]:
        """The exit code of `loadgen doctor` and what it says."""
        with in_background("doctor", "--master", self.address, *options) as doctor:
            code = doctor.finish()
            return code, doctor.output

    @property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self._summary.read_text()))

    @property
    def counted(self) -> int:
        return int(self.summary["totals"]["requests"])

    @property
    def served(self) -> int:
        return self.target.count()


@pytest.fixture
def site(tmp_path: Path, counting_target: Target) -> Site:
    return Site(tmp_path, counting_target)


def test_two_workers_share_a_run_and_every_request_is_counted_once(site: Site) -> None:
    with (
        site.master("-t", "2s", "--expect-workers", "2") as master,
        site.worker("--once") as one,
        site.worker("--once") as other,
    ):
        assert master.finish() == 0, master.output
        assert [one.finish(), other.finish()] == [0, 0]

    assert f"listening on {site.address}" in master.output
    assert site.counted == site.served > 100
    assert site.summary["run"]["complete"] is True
    assert [worker["state"] for worker in site.summary["workers"]] == ["final", "final"]
    assert all(worker["requests"] > 0 for worker in site.summary["workers"])


def test_a_worker_waits_for_its_master_and_serves_run_after_run(site: Site) -> None:
    with site.worker() as worker:
        worker.wait_for(f"nothing listens at {site.address}")
        pids = set()
        for runs in (1, 2):
            site.target.reset()
            with site.master("-t", "60s", "--expect-workers", "1") as master:
                wait_until(lambda: site.served > 20, 30)
                pids |= {child.pid for child in psutil.Process(worker.process.pid).children()}
                master.process.send_signal(signal.SIGINT)
                assert master.finish() == 2, master.output
            assert site.counted == site.served
            wait_until(lambda: worker.output.count("has ended") == runs, 30)  # noqa: B023 - used within the turn
            assert worker.output.count("joined the master") == runs
        worker.process.send_signal(signal.SIGTERM)
        assert worker.finish() == 0

    assert len(pids) == 2, "each run has a process of its own"


def test_a_wrong_secret_is_told_apart_from_a_wrong_address(site: Site) -> None:
    with site.worker(secret=site.wrong_secret) as locked_out:
        locked_out.wait_for(f"nothing listens at {site.address}")
        code, said = site.doctor("--secret-file", str(site.secret))
        assert code == 4
        assert "✗ port" in said, said
        with site.master("-t", "1s", "--expect-workers", "1") as master:
            locked_out.wait_for(f"{site.address} answers, but refuses our key")
            code, said = site.doctor("--secret-file", str(site.wrong_secret))
            assert code == 4
            assert "✗ key" in said, said
            code, said = site.doctor("--secret-file", str(site.secret))
            assert code == 0
            assert "✓ protocol" in said, said
            with site.worker("--once") as worker:
                assert master.finish() == 0, master.output
                assert worker.finish() == 0

    assert site.counted == site.served
    assert len(site.summary["workers"]) == 1, "neither who was locked out nor the doctor has joined"


def test_too_few_workers_end_the_run_before_it_began(site: Site) -> None:
    with site.worker(), site.master("--expect-workers", "2", "--worker-timeout", "4s") as master:
        assert master.finish() == 8, master.output

    assert "1 of 2 workers" in master.output
    assert "--min-workers 1" in master.output
    assert site.served == 0


def test_a_run_may_begin_with_fewer_workers_than_expected(site: Site) -> None:
    options = ("--expect-workers", "2", "--min-workers", "1", "--worker-timeout", "4s", "-t", "1s")
    with site.worker(), site.master(*options) as master:
        assert master.finish() == 0, master.output

    assert site.counted == site.served > 0


def test_a_worker_told_to_end_delivers_everything_and_others_take_over_its_users(site: Site) -> None:
    with (
        site.master("-t", "10m", "--expect-workers", "2") as master,
        site.worker("--once") as staying,
        site.worker() as leaving,
    ):
        wait_until(lambda: len(visits(site)) == USERS, 60)
        leaving.process.send_signal(signal.SIGTERM)
        assert leaving.finish(20) == 0, leaving.output
        at_leaving = visits(site)
        wait_until(lambda: all(visits(site)[user] > count for user, count in at_leaving.items()), 30)
        master.process.send_signal(signal.SIGINT)
        assert master.finish() == 2, master.output
        assert staying.finish() == 0

    assert site.counted == site.served
    assert site.summary["run"]["complete"] is True
    assert "has left" in master.output


def visits(site: Site) -> dict[str, int]:
    """Requests by user."""
    return {path: count for path, count in site.target.stats()["requests"].items() if path.startswith("/user/")}


def test_a_worker_process_that_was_killed_is_replaced_and_none_outlives_its_supervisor(site: Site) -> None:
    with (
        site.master("-t", "10m", "--expect-workers", "2", "--lease", "2s") as master,
        site.worker("--processes", "2") as worker,
    ):
        wait_until(lambda: len(visits(site)) == USERS, 60)
        psutil.Process(worker.process.pid).children()[0].kill()
        worker.wait_for("SIGKILL")
        wait_until(lambda: worker.output.count("with 2 processes") == 2, 30)
        at_joining = visits(site)
        wait_until(lambda: all(visits(site)[user] > count for user, count in at_joining.items()), 30)
        children = psutil.Process(worker.process.pid).children()
        worker.process.kill()
        gone, alive = psutil.wait_procs(children, timeout=20)
        assert (len(gone), alive) == (2, [])
        master.process.send_signal(signal.SIGINT)
        master.process.send_signal(signal.SIGINT)
        assert master.finish() == 2, master.output

    assert 0 < site.counted <= site.served
    assert site.summary["run"]["complete"] is False


def test_a_worker_that_only_waits_ends_at_once_when_told_to(site: Site) -> None:
    with site.worker() as worker:
        worker.wait_for("waiting")
        worker.process.send_signal(signal.SIGINT)

        assert worker.finish(20) == 0


def test_nobody_listens_without_a_secret(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOADGEN_SECRET", raising=False)
    options = ("-H", site.target.url, "--listen", f"0.0.0.0:{site.port}", "--expect-workers", "1")
    run = run_loadgen(site.scenario, *options, summary=False)

    assert run.code == 4
    assert "loadgen keygen --out secret" in run.stderr

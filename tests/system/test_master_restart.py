"""A master that is killed and resumed: the workers go on, and everything is counted once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.command import ROOT, wait_until
from tests.support.target import Target, target

SCENARIO = '''
from loadgen import HttpUser, constant, task

class Visitor(HttpUser):
    wait_time = constant(0.01)

    @task
    def page(self):
        self.client.get("/page")
'''


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`loadgen ARGUMENTS` in a folder of its own; ended by the end of the block."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "loadgen", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_killed_and_resumed_master_counts_every_request_once(counting_target: Target, tmp_path: Path) -> None:
    (tmp_path / "visit.py").write_text(SCENARIO)
    secret, port = tmp_path / "secret", free_port()
    secret.write_text("ab" * 32)
    address, elsewhere = f"127.0.0.1:{port}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    joining = ("--secret-file", str(secret), "--lease", "10s")
    worker = ("worker", "--master", address, "--processes", "1", "--once", "--secret-file", str(secret))
    run = ("run", "visit.py", "-u", "6", "-r", "50", "-t", "8s", "-H", counting_target.url)

    with running(*worker, folder=elsewhere), running(*worker, folder=elsewhere):
        with running(*run, "--listen", address, "--expect-workers", "2", *joining, folder=tmp_path) as master:
            wait_until(lambda: counting_target.count("/page") > 300, 40)
            master.send_signal(signal.SIGKILL)
            master.wait(10)
        (run_file,) = (tmp_path / "loadgen-runs").glob("*.db")
        seen = counting_target.count("/page")
        wait_until(lambda: counting_target.count("/page") > seen + 50, 20)  # the load goes on without a master
        with running("run", "--resume", str(run_file), "--json", "s.json", *joining, folder=tmp_path) as master:
            output, _ = master.communicate(timeout=60)

    assert master.returncode == 0, output
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["totals"]["requests"] == counting_target.count("/page")
    assert summary["run"]["complete"] is True
    assert summary["accounting"]["in_flight"] == 0


def test_a_resumed_master_that_is_stopped_at_once_still_collects_everything(tmp_path: Path) -> None:
    """It must hear of its workers before it may think that they are all done."""
    with target() as served:
        cluster = Cluster(tmp_path, served, 2)
        with cluster.worker(), cluster.worker():
            with cluster.master(2) as master:
                cluster.wait_for_everybody(2)
                master.process.kill()
                master.finish()
            with cluster.resumed() as master:
                master.wait_for("listening on")
                cluster.end(master)

        assert cluster.summary["run"]["complete"] is True
        assert cluster.summary["totals"]["requests"] == served.count()

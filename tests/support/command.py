"""loadgen as a user types it: real processes, their exit codes, what they printed, and the JSON summary."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HTTP_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class Finished:
    """One run that has ended. `summary` is empty if it wrote none."""

    code: int
    stdout: str
    stderr: str
    summary: dict[str, Any]

    @property
    def requests(self) -> int:
        """Requests that were sent, of every kind."""
        return int(self.summary["totals"]["requests"])

    @property
    def http_requests(self) -> int:
        """Those sent by HTTP: an endpoint of another protocol has another word for its method."""
        return sum(row["requests"] for row in self.summary["endpoints"] if row["method"] in HTTP_METHODS)

    @property
    def is_valid(self) -> bool:
        """Whether the generator kept up, so that its times mean something."""
        return str(self.summary["generator"]["verdict"]) == "VALID"

    def explain(self) -> str:
        return f"exit {self.code}\n{self.stdout}\n{self.stderr}"


def run_loadgen(
    scenario: Path | str,
    *options: str,
    timeout_s: float = 60,
    interrupt_when: Callable[[], bool] | None = None,
    summary: bool = True,
) -> Finished:
    """`loadgen run SCENARIO OPTIONS`; one Ctrl-C as soon as `interrupt_when` says so."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "summary.json"
        command = [sys.executable, "-m", "loadgen", "run", str(scenario), *options]
        if summary:
            command += ["--json", str(file)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with process:
            try:
                if interrupt_when is not None:
                    wait_until(lambda: interrupt_when() or process.poll() is not None, timeout_s)
                    process.send_signal(signal.SIGINT)
                stdout, stderr = process.communicate(timeout=timeout_s)
            finally:
                process.kill()
        written = json.loads(file.read_text()) if file.exists() else {}
    return Finished(process.returncode, stdout, stderr, written)


class Background:
    """A loadgen command that runs beside the test; what it prints can be read while it does, and after."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._file = output
        self._all: str | None = None

    @property
    def output(self) -> str:
        """Everything printed so far, on stdout and stderr."""
        return self._file.read_text() if self._all is None else self._all

    def end(self) -> None:
        """Kill it if it still runs, and keep what it printed."""
        self.process.kill()
        self.process.wait()
        self._all = self.output

    def wait_for(self, text: str, timeout_s: float = 30) -> None:
        """Return as soon as it has printed `text`; AssertionError if it ends, or takes too long, without."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, timeout_s)
        assert text in self.output, self.output

    def finish(self, timeout_s: float = 60) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(timeout_s)


@contextmanager
def in_background(*words: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> Iterator[Background]:
    """`loadgen WORDS`, ended at the latest with the block."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        command = [sys.executable, "-m", "loadgen", *words]
        whole_env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        with (
            output.open("wb") as file,
            subprocess.Popen(
                command, cwd=cwd, env=whole_env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            ) as process,
        ):
            running = Background(process, output)
            try:
                yield running
            finally:
                running.end()


def free_port() -> int:
    """A port on loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Return as soon as `condition` holds; AssertionError if it does not within `timeout_s`."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends, f"still not so after {timeout_s} s"
        time.sleep(0.02)

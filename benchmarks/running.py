"""A generator under observation: its processes on their cores, its CPU, memory and the requests it has caused."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import psutil

from benchmarks.machine import GENERATOR_CORE, SERVER_CORE, born_on, cpu_ns, family, open_files, pin, rss_bytes
from benchmarks.tools import ROOT, Load, Tool
from tests.support.nginx import Nginx

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0


class Trouble(Exception):
    """A tool did not do what was asked of it; the row goes without."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The generator at one moment."""

    at_s: float
    cpu_ns: int
    requests: int
    rss_bytes: int


class Running:
    """A started tool. `settle` finds its generator process; `sample` looks at it."""

    def __init__(self, process: subprocess.Popen[bytes], server: Nginx, output: IO[bytes]) -> None:
        self.process = process
        self.server = server
        self.begun_before = server.begun()
        self.generator = process.pid
        self._output = output

    def wait_for_requests(self, count: int) -> None:
        """Until the server has seen that many requests from this tool."""
        ends = time.monotonic() + START_TIMEOUT_S
        while self.requests() < count:
            if self.process.poll() is not None:
                raise Trouble(f"it ended with {self.process.returncode}: {self.said()}")
            if time.monotonic() > ends:
                raise Trouble(f"{self.requests()} of {count} requests after {START_TIMEOUT_S:.0f} s: {self.said()}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Find the process that holds the connections, keep it alone on its core and the tool's others off it."""
        processes = family(self.process.pid)
        self.generator = max(processes, key=open_files)
        for pid in processes:
            pin(pid, GENERATOR_CORE if pid == self.generator else SERVER_CORE)

    def requests(self) -> int:
        return self.server.begun() - self.begun_before

    def sample(self) -> Sample:
        """The generator now. Raises Trouble if it has ended."""
        try:
            return Sample(time.monotonic(), cpu_ns(self.generator), self.requests(), rss_bytes(self.generator))
        except psutil.NoSuchProcess as exc:
            raise Trouble(f"it ended under way: {self.said()}") from exc

    def said(self) -> str:
        """The end of what it printed."""
        self._output.seek(0)
        return self._output.read().decode("utf-8", "replace").strip()[-500:]


@contextmanager
def running(tool: Tool, load: Load, server: Nginx) -> Iterator[Running]:
    """The tool under this load, until the end of the block."""
    with tempfile.TemporaryFile() as output:
        with born_on(GENERATOR_CORE):
            process = subprocess.Popen(
                tool.command(load),
                cwd=ROOT,
                env=load.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        with process:
            try:
                yield Running(process, server, output)
            finally:
                stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask twice, as a user in a hurry would, then insist."""
    children = family(process.pid)
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(timeout=STOP_TIMEOUT_S if number == signal.SIGKILL else 3)
        except subprocess.TimeoutExpired:
            continue
    for pid in children:
        wait_for_end(pid)


def wait_for_end(pid: int) -> None:
    """So that the next measurement has the core to itself."""
    ends = time.monotonic() + STOP_TIMEOUT_S
    while pid in family(pid) and time.monotonic() < ends:
        time.sleep(0.02)

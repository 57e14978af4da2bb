"""The generators that are compared: how each is started for one kind of request, and whether it is here.

A tool is started as a process tree; the process of it that uses the most CPU is the generator that is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOAD = ROOT / "benchmarks" / "load"
LOCUST_ENVIRONMENT = ROOT / ".venv-bench"


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be sent: `users` users that each go on asking for `path`, or ask once and stay connected."""

    base_url: str
    path: str
    users: int
    ca_file: Path
    spawn_rate: int = 1000
    new_connections: bool = False
    stay_idle: bool = False

    def environment(self) -> dict[str, str]:
        """For the scenario files in benchmarks/load, which read it."""
        return {
            **os.environ,
            "BENCH_PATH": self.path,
            "BENCH_CA": str(self.ca_file),
            "BENCH_CLOSE": "1" if self.new_connections else "",
            "BENCH_IDLE": "1" if self.stay_idle else "",
            "PYTHONUNBUFFERED": "1",
        }


@dataclass(frozen=True, slots=True)
class Tool:
    """`command(load)` starts it; it runs until it is told to stop."""

    name: str
    command: Callable[[Load], list[str]]


def wrk_command(load: Load) -> list[str]:
    command = ["wrk", "-t1", f"-c{load.users}", "-d1h", load.base_url + load.path]
    return [*command, "-H", "Connection: close"] if load.new_connections else command


def loadgen_command(load: Load) -> list[str]:
    command = [sys.executable, "-m", "loadgen", "run", str(LOAD / "ours.py"), "--workers", "1", "-H", load.base_url]
    return [*command, "-u", str(load.users), "-r", str(load.spawn_rate), "-t", "1h"]


def client_command(load: Load) -> list[str]:
    return [sys.executable, "-m", "benchmarks.load.client_loop", load.base_url, str(load.users)]


def locust_command(load: Load) -> list[str]:
    command = [str(LOCUST_ENVIRONMENT / "bin" / "locust"), "-f", str(LOAD / "locust_fast.py"), "--headless"]
    return [*command, "-H", load.base_url, "-u", str(load.users), "-r", str(load.spawn_rate), "--only-summary"]


LOADGEN = Tool("loadgen", loadgen_command)
CLIENT = Tool("client alone", client_command)
WRK = Tool("wrk", wrk_command)
LOCUST = Tool("Locust", locust_command)


def find_peers(say: Callable[[str], None]) -> list[Tool]:
    """The peers that are here; Locust gets an environment of its own, made at the first call."""
    found = []
    if shutil.which("wrk"):
        found.append(WRK)
    else:
        say("wrk is not installed (apt-get install wrk): its column stays empty")
    if install_locust(say):
        found.append(LOCUST)
    return found


def install_locust(say: Callable[[str], None]) -> bool:
    """Whether Locust is in .venv-bench, after trying to put it there."""
    if (LOCUST_ENVIRONMENT / "bin" / "locust").exists():
        return True
    say("installing Locust into .venv-bench (once)")
    python = LOCUST_ENVIRONMENT / "bin" / "python"
    steps = (
        [sys.executable, "-m", "venv", str(LOCUST_ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "locust"],
    )
    for step in steps:
        result = subprocess.run(step, capture_output=True, text=True)
        if result.returncode:
            say(f"Locust cannot be installed, its column stays empty: {result.stderr.strip()[-200:]}")
            return False
    return True

"""CPU time, cores and limits of this machine, for measurements that mean something.

CPU is read in nanoseconds from the kernel's scheduler (`/proc/PID/task/*/schedstat`): with clock ticks of 10 ms a
window of three seconds would be off by a third of a percent.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
GENERATOR_CORE = CORES[1 % len(CORES)]


def cpu_ns(pid: int) -> int:
    """CPU time all threads of `pid` have used; 0 once it has ended."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(path.read_text().split()[0])
        except (OSError, ProcessLookupError):
            continue  # the thread ended between the listing and the look
    return total


def family(pid: int) -> list[int]:
    """`pid` and everything it started."""
    try:
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def rss_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def open_files(pid: int) -> int:
    """How many files and sockets `pid` has open; 0 once it has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def pin(pid: int, core: int) -> None:
    """Keep every thread of `pid` on `core`."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), {core})
        except ProcessLookupError:
            continue


@contextmanager
def born_on(core: int) -> Iterator[None]:
    """Processes started inside stay on `core`."""
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def raise_file_limit() -> int:
    """Allow as many open files as the machine lets us, here and in every process we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> dict[str, object]:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "cores": len(CORES),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }

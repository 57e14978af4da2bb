"""The limits the operating system puts on one process, and how its memory is looked after."""

from __future__ import annotations

import gc
import os

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None  # type: ignore[assignment]


def raise_file_limit() -> int:
    """How many files and sockets this process may open, after raising the soft limit to the hard one.

    A virtual user needs a socket of its own, and 1,024, the usual soft limit, is soon reached.
    Children inherit the limit. 0 where the limit is unknown.
    """
    if resource is None:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS refuses more than its own maximum
        return soft
    return wanted


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def calm_gc() -> None:
    """Let the cycle collector pass over what there is now, and come by less often.

    A master and a worker hold hundreds of thousands of objects that live to the end of the run and make little
    garbage with cycles, so looking them through again and again finds nothing. A report at the master costs about
    4 % less with it (python -m benchmarks.ledger_report: 133 to 128 us).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)

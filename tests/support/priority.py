"""Going before whatever else this machine does, for what compares times."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HIGHEST = -20
# Linux shares the cores out between sessions first (autogroups); a process's niceness counts only within its own.
AUTOGROUP = Path("/proc/self/autogroup")


@contextmanager
def first_in_line() -> Iterator[None]:
    """Processes started inside run before others, where that is allowed (root).

    Elsewhere nothing changes, and a busy machine shows as differences of the order of its time slices.
    """
    usual, usual_of_session = os.getpriority(os.PRIO_PROCESS, 0), session_niceness()
    set_niceness(HIGHEST, HIGHEST)
    try:
        yield
    finally:
        set_niceness(usual, usual_of_session)


@contextmanager
def ahead_of_all() -> Iterator[None]:
    """Processes started inside run the moment they can (real-time), or are `first_in_line` where that is not allowed.

    For processes that mostly wait: one that computes without end would keep its core from everybody.
    """
    if sys.platform != "linux":
        with first_in_line():
            yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with first_in_line():
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except OSError:
            pass
        try:
            yield
        finally:
            os.sched_setscheduler(0, policy, parameters)


def session_niceness() -> int:
    """The niceness of this process's session: the last word of `/autogroup-10 nice 0`."""
    try:
        return int(AUTOGROUP.read_text().split()[-1])
    except (OSError, IndexError, ValueError):
        return 0


def set_niceness(own: int, of_session: int) -> None:
    """As far as we may."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, own)  # what we start inherits it
        AUTOGROUP.write_text(str(of_session))
    except OSError:
        pass

"""Waiting on the hub for something that nobody announces."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import gevent


def wait_until(is_so: Callable[[], bool], timeout_s: float, pause_s: float = 0.01) -> bool:
    """Let the hub run until `is_so()`; whether it became so within `timeout_s`."""
    deadline_s = monotonic() + timeout_s
    while not is_so():
        if monotonic() >= deadline_s:
            return False
        gevent.sleep(pause_s)
    return True

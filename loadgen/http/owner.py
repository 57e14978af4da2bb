"""Who sends a request, as far as the HTTP client must know: three attributes of a virtual user."""

from __future__ import annotations

from typing import Protocol


class RequestOwner(Protocol):
    """A virtual user, seen from its client."""

    wait_us: int
    """Read: by how much the current iteration started late; carried into each record."""
    iteration_failed: bool
    """Written: True when a request was recorded as failed."""
    has_yielded: bool
    """Written: True when the client has let other greenlets run."""


class NoOwner:
    """An owner for a client that belongs to no user: scripts, tests, `check`."""

    def __init__(self) -> None:
        self.wait_us = 0
        self.iteration_failed = False
        self.has_yielded = False

"""Why one measured operation failed, as the recorder takes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed operation. `category` is also its outcome in the counts.

    `fault` says whose it was: "target", "network", "generator" (our own limits, never blamed on
    the target) or "scenario". `phase` is where an exchange broke ("dns", "connect", "tls", "send",
    "wait", "headers", "body"), "" where that means nothing.
    """

    category: str  # "http_4xx", "http_5xx", "connect_refused", "reset", "check", "exception", …
    message: str
    phase: str = ""
    fault: str = "target"
    bytes: int = 0  # of the response, received before it broke
    retried: bool = False  # once, on a new connection, before any response byte
    reused: bool = False  # the connection had served a request before

"""What a run was asked to do, as one immutable value.

The command line makes it; the master keeps it; the part that users need travels to the workers in
the welcome (`to_wire`), as plain data only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from loadgen.errors import Malformed

DEFAULT_STOP_TIMEOUT_S = 10.0
DEFAULT_WORKER_TIMEOUT_S = 60.0
DEFAULT_LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Every choice of one run; the defaults are those of `loadgen run FILE`.

    `workers` is a number of processes on this machine, "auto" for one per core, "none" where all join
    from elsewhere, or "inline" for a worker inside this process. `duration_s` None means until stopped.
    """

    users: int = 1
    spawn_rate_per_s: float | None = None  # None: all users at once, at most 100 per second
    duration_s: float | None = None
    host: str | None = None
    tags: tuple[str, ...] = ()
    exclude_tags: tuple[str, ...] = ()
    seed: int | None = None  # None: chosen at random, printed and kept in the summary
    workers: int | Literal["auto", "none", "inline"] = "auto"
    runs_dir: str = "loadgen-runs"  # where the run's file is kept
    listen: str | None = None  # HOST:PORT where workers of other machines join
    secret_file: str | None = None  # None: LOADGEN_SECRET
    expect_workers: int = 0  # so many from other machines
    min_workers: int | None = None  # of all workers; None: every expected one
    worker_timeout_s: float = DEFAULT_WORKER_TIMEOUT_S  # how long to wait for them
    lease_s: float = DEFAULT_LEASE_S  # how long a worker goes on without a master
    thresholds: tuple[str, ...] = ()
    json_path: str | None = None  # "-" is stdout
    loglevel: str = "INFO"
    logfile: str | None = None
    stop_timeout_s: float = DEFAULT_STOP_TIMEOUT_S
    strict_generator: bool = False
    dns_ttl_s: float = 30.0
    command: str = ""  # as typed, secrets masked, for the summary
    custom: dict[str, Any] = field(default_factory=dict)  # values of the scenario's own arguments


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The part of the settings that a worker needs to run users."""

    scenario_path: str
    scenario_sha256: str
    classes: tuple[str, ...]  # names of the user classes that take part
    host: str | None
    tags: tuple[str, ...]
    exclude_tags: tuple[str, ...]
    seed: int
    loglevel: str
    stop_timeout_s: float
    dns_ttl_s: float
    options: dict[str, Any]  # environment.parsed_options, custom arguments included
    workers: int = 1  # how many the run began with
    bundle: dict[str, Any] | None = None  # {sha256, size} of the scenario's bundle; None: read it in place

    def to_wire(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_wire(cls, data: object) -> WorkerSettings:
        """The settings in a decoded welcome. Raises Malformed; unknown keys are ignored."""
        if not isinstance(data, dict):
            raise Malformed("settings are not a map")
        try:
            return cls(
                scenario_path=_text(data["scenario_path"]),
                scenario_sha256=_text(data["scenario_sha256"]),
                classes=_texts(data["classes"]),
                host=None if data["host"] is None else _text(data["host"]),
                tags=_texts(data["tags"]),
                exclude_tags=_texts(data["exclude_tags"]),
                seed=int(data["seed"]),
                loglevel=_text(data["loglevel"]),
                stop_timeout_s=float(data["stop_timeout_s"]),
                dns_ttl_s=float(data["dns_ttl_s"]),
                options=dict(data["options"]),
                workers=int(data["workers"]),
                bundle=None if data["bundle"] is None else dict(data["bundle"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise Malformed(f"settings: {exc!r}") from exc


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError("expected a list of texts")
    return tuple(_text(item) for item in value)

"""Facts about a run that are no measurements: what was to be run, who takes part. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as its file knows it. `plan` and `settings` hold what JSON can hold."""

    run_id: str
    scenario_name: str = ""
    scenario_path: str = ""
    scenario_sha256: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # what workers are told
    listen: str = ""  # HOST:PORT that remote workers know; "" for a run that no other process can go on with
    started_at_s: float = 0.0  # wall clock
    epoch: int = 0  # how many masters this run has had
    state: str = ""
    command: str = ""  # as it was typed


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One worker process that joined. `share` holds what JSON can hold."""

    uid: bytes
    worker: str  # "w1"
    index: int
    last_command: int = 0
    share: list[Any] = field(default_factory=list)
    state: str = ""

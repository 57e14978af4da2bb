"""`loadgen run --resume RUN`: go on with a run whose master has ended, from its file.

What was to be run comes from the file; how it is shown and judged from the command line, as ever.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loadgen.errors import ConfigError
from loadgen.master.store_records import RunRecord
from loadgen.master.store_sqlite import SqliteStore
from loadgen.plan import UserPlan
from loadgen.settings import RunSettings, WorkerSettings


def open_run(run: str, runs_dir: str) -> SqliteStore:
    """The file of a run that can be gone on with: a path, or an id in `runs_dir`. Raises LoadgenError."""
    path = Path(run) if run.endswith(".db") else Path(runs_dir) / f"{run}.db"
    store = SqliteStore.open(path)
    try:
        _check(store.record, path)
    except BaseException:
        store.close()
        raise
    return store


def _check(record: RunRecord, path: Path) -> None:
    if not record.listen:
        raise ConfigError(
            f"the run in {path} had no workers but those of its master, which ended with it",
            hints=("only a run with --listen can be resumed; what it measured is in its file",),
        )
    if record.state == "finished":
        raise ConfigError(f"the run in {path} is over", hints=("there is nothing to go on with",))


def resumed_settings(record: RunRecord, settings: RunSettings) -> RunSettings:
    """`settings` with everything that decides what is run taken from the file."""
    plan = UserPlan.from_wire(record.plan)
    told = WorkerSettings.from_wire(record.settings)
    return replace(
        settings,
        users=plan.users,
        spawn_rate_per_s=plan.spawn_rate_per_s,
        duration_s=plan.duration_s,
        host=told.host,
        tags=told.tags,
        exclude_tags=told.exclude_tags,
        seed=told.seed,
        stop_timeout_s=told.stop_timeout_s,
        custom=dict(told.options),
        listen=record.listen,
        workers="none",
        expect_workers=told.workers,
    )

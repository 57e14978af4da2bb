"""From a scenario and settings to an exit code: the one path that run, demo and quick all take."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent

from loadgen.bundle import build
from loadgen.cli.joining import joining_of
from loadgen.cli.logs import LogOutput, log_output
from loadgen.cli.screen import RunInfo, RunResult, Screen
from loadgen.clock import SystemClock
from loadgen.environment import Environment
from loadgen.errors import ConfigError, ScenarioError
from loadgen.http.urls import redact
from loadgen.mailbox import ScenarioMessage
from loadgen.master.backend import MasterBackend
from loadgen.master.conductor import Conductor, Job
from loadgen.master.ledger import LogRecord
from loadgen.master.outcome import exit_code
from loadgen.master.report.summary import summary
from loadgen.master.store_sqlite import SqliteStore
from loadgen.master.thresholds import DEFAULT_THRESHOLD, Threshold, evaluate, parse
from loadgen.master.verdict import judge
from loadgen.metrics.snapshot import Snapshot
from loadgen.plan import ClassDemand, UserPlan, share_out
from loadgen.runner import Runner
from loadgen.scenario import Scenario
from loadgen.settings import RunSettings, WorkerSettings
from loadgen.stats import RequestStats
from loadgen.tasks import filter_by_tags
from loadgen.users import HttpUser, User

DEFAULT_SPAWN_RATE_PER_S = 100.0


def execute(scenario: Scenario, settings: RunSettings, screen: Screen, resume: SqliteStore | None = None) -> int:
    """Run `scenario` as `settings` say, show it on `screen`, and return the exit code.

    Raises LoadgenError for what is wrong before the run; the outputs are written whenever a run began.
    """
    with log_output(settings.loglevel, settings.logfile, screen) as logs:
        return Execution(scenario, settings, screen, logs, resume).run()


class Execution:
    """One run as the master's process sees it: the scenario's master side, the conductor, the outputs."""

    def __init__(
        self,
        scenario: Scenario,
        settings: RunSettings,
        screen: Screen,
        logs: LogOutput,
        resume: SqliteStore | None = None,
    ) -> None:
        self._scenario = scenario
        self._resume = resume
        self._settings = settings
        self._screen = screen
        self._logs = logs
        check_writable(settings.json_path)
        self._thresholds = thresholds_of(scenario, settings)
        self._classes = participants(scenario, settings)
        self._plan = plan_of(self._classes, settings) if resume is None else UserPlan.from_wire(resume.record.plan)
        self._joining = joining_of(settings)
        self._inline = settings.workers == "inline"
        self._seed = settings.seed if settings.seed is not None else random.SystemRandom().getrandbits(32)
        self._backend = MasterBackend(self._plan, self._joining.expected)
        self._environment = self._new_environment()
        self._job = self._new_job()
        self._conductor = Conductor(
            self._job, self, SystemClock(), start_inline=self._start_inline if self._inline else None
        )
        self._backend.conductor = self._conductor

    def run(self) -> int:
        """Everything from the first event to the exit code."""
        events = self._environment.events
        try:
            if not self._inline:  # else the worker in this process fires them, once, as every worker does
                events.init.fire(environment=self._environment, runner=self._environment.runner, web_ui=None)
                events.test_start.fire(environment=self._environment)
            self._screen.started(self._info())
            with signals_stop(self._conductor):
                snapshot = self._conductor.run()
            if not self._inline:
                events.test_stop.fire(environment=self._environment)
            return self._conclude(snapshot)
        finally:
            self._screen.close()

    def _conclude(self, snapshot: Snapshot) -> int:
        if self._conductor.error is not None:
            raise self._conductor.error
        if not self._inline:
            self._environment.events.quitting.fire(reverse=True, environment=self._environment)
        results = evaluate(self._thresholds, snapshot)
        verdict = judge(snapshot)
        code = exit_code(
            snapshot,
            results,
            verdict,
            interrupted=self._conductor.interrupted,
            strict_generator=self._settings.strict_generator,
        )
        document = summary(snapshot, results, verdict, self._info())
        self._screen.finished(RunResult(snapshot, results, verdict, code, document))
        write_json(document, self._settings.json_path)
        chosen = self._environment.process_exit_code
        final_code = int(code) if chosen is None else int(chosen)
        self._environment.events.quit.fire(exit_code=final_code)
        return final_code

    # -- what the conductor tells us (its Observer)

    def update(self, snapshot: Snapshot) -> None:
        self._screen.update(snapshot)

    def note(self, text: str) -> None:
        self._screen.note(text)

    def log(self, line: str) -> None:
        self._screen.log(line)

    def record(self, record: LogRecord) -> None:
        self._logs.write(record)

    def custom(self, worker: str, kind: str, data: object) -> None:
        self._backend.mailbox.deliver(ScenarioMessage(kind, data, worker), self._environment)

    # -- making the parts

    def _new_environment(self) -> Environment:
        environment = Environment(
            host=self._settings.host,
            parsed_options=Namespace(**self._options()),
            user_classes=self._classes,
            seed=self._seed,
            tags=self._settings.tags,
            exclude_tags=self._settings.exclude_tags,
            stop_timeout=self._settings.stop_timeout_s,
            stats=RequestStats(self._backend.snapshot),
        )
        environment.runner = Runner(environment, self._backend)
        return environment

    def _options(self) -> dict[str, Any]:
        """environment.parsed_options, by the names Locust scenarios know, the scenario's own on top."""
        settings = self._settings
        return {
            "host": settings.host,
            "users": settings.users,
            "num_users": settings.users,
            "spawn_rate": self._plan.spawn_rate_per_s,
            "run_time": settings.duration_s,
            "tags": list(settings.tags),
            "exclude_tags": list(settings.exclude_tags),
            "stop_timeout": settings.stop_timeout_s,
            "loglevel": settings.loglevel,
            "seed": self._seed,
            **settings.custom,
        }

    def _new_job(self) -> Job:
        settings = WorkerSettings(
            scenario_path=str(self._scenario.path.resolve()),
            scenario_sha256=self._scenario.sha256,
            classes=tuple(cls.__name__ for cls in self._classes),
            host=self._settings.host,
            tags=self._settings.tags,
            exclude_tags=self._settings.exclude_tags,
            seed=self._seed,
            loglevel=self._settings.loglevel,
            stop_timeout_s=self._settings.stop_timeout_s,
            dns_ttl_s=self._settings.dns_ttl_s,
            options=self._options(),
            workers=self._joining.expected,
        )
        run_id = f"{time.strftime('%Y-%m-%d-%H%M')}-{secrets.token_hex(2)}"
        if self._resume is not None:
            run_id, settings = self._resume.record.run_id, WorkerSettings.from_wire(self._resume.record.settings)
        joining = self._joining
        return Job(
            run_id,
            self._plan,
            settings,
            joining.local,
            self._settings.stop_timeout_s,
            listen=joining.listen,
            secret=joining.secret,
            remote_workers=joining.remote,
            min_workers=self._settings.min_workers,
            worker_timeout_s=self._settings.worker_timeout_s,
            lease_s=joining.lease_s,
            bundle=build(self._scenario) if joining.listen is not None else None,
            run_file=Path(self._settings.runs_dir) / f"{run_id}.db",
            scenario_name=self._scenario.name,
            command=self._settings.command,
            resume=self._resume,
        )

    def _start_inline(self, endpoint: str, secret: bytes, uid: bytes) -> None:
        from loadgen.worker.process import run_worker

        gevent.spawn(run_worker, endpoint, secret, uid, self._scenario)

    def _info(self) -> RunInfo:
        host = self._settings.host or next((cls.host for cls in self._classes if cls.host), None)
        return RunInfo(
            run_id=self._job.run_id,
            scenario_name=self._scenario.name,
            workers=self._joining.expected,
            host=None if host is None else redact(host),
            planned_s=self._plan.duration_s,
            command=self._settings.command,
            thresholds=tuple(threshold.expr for threshold in self._thresholds),
            seed=self._seed,
        )


def thresholds_of(scenario: Scenario, settings: RunSettings) -> list[Threshold]:
    """The scenario's thresholds and those of the command line; the default one where there is none."""
    declared = [parse(text, origin) for text, origin in scenario.thresholds]
    given = [parse(text, "--threshold") for text in settings.thresholds]
    return declared + given or [parse(DEFAULT_THRESHOLD, "default")]


def participants(scenario: Scenario, settings: RunSettings) -> list[type[User]]:
    """The user classes that have something to do under these tags. Raises ConfigError, ScenarioError."""
    classes = [cls for cls in scenario.user_classes if filter_by_tags(cls, settings.tags, settings.exclude_tags)]
    if not classes:
        raise ScenarioError(
            f"no task of {scenario.name} is left by the tags", hints=("look at --tags and --exclude-tags",)
        )
    homeless = [cls.__name__ for cls in classes if issubclass(cls, HttpUser) and not (settings.host or cls.host)]
    if homeless:
        raise ConfigError(
            f"{homeless[0]} has no host to send requests to",
            code="LG106",
            hints=(f'give one: --host https://staging.example.com, or host = "https://…" in {homeless[0]}',),
        )
    return classes


def plan_of(classes: list[type[User]], settings: RunSettings) -> UserPlan:
    """How many users of each class, and how fast."""
    demands = [ClassDemand(cls.__name__, float(cls.weight), int(cls.fixed_count)) for cls in classes]
    rate = settings.spawn_rate_per_s or DEFAULT_SPAWN_RATE_PER_S
    return UserPlan(share_out(settings.users, demands), rate, settings.duration_s)


def check_writable(path: str | None) -> None:
    """Raise ConfigError now, not after the run, if the summary cannot be written to `path`."""
    if path in (None, "-"):
        return
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"cannot write the summary to {path}: there is no folder {folder}")
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise ConfigError(f"cannot write the summary to {path}: permission denied")


def write_json(document: dict[str, Any], path: str | None) -> None:
    """Write the summary to `path`; "-" is stdout; None is nowhere."""
    if path is None:
        return
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot write the summary to {path}: {exc.strerror}") from exc


@contextmanager
def signals_stop(conductor: Conductor) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run gracefully, a second one now."""
    watchers = [
        gevent.signal_handler(number, conductor.stop, interrupted=True) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.cancel()

"""A worker process: the agent, its users and its socket, tied together on the gevent hub.

One process runs one run under one uid. `run_worker` is the whole life of it, in a process of its own
or (for a debugger) as a greenlet beside the master.
"""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from loadgen import data
from loadgen.clock import Clock, SystemClock
from loadgen.data import rows_used
from loadgen.data_port import Place, attach
from loadgen.environment import Environment
from loadgen.errors import Incompatible, Malformed, ScenarioError, UsageError
from loadgen.limits import calm_gc, raise_file_limit
from loadgen.mailbox import ScenarioMessage
from loadgen.metrics.delta import Window, is_drained, seal
from loadgen.metrics.recorder import Recorder
from loadgen.plan import UserKey
from loadgen.runner import Runner
from loadgen.scenario import Scenario, load_scenario
from loadgen.settings import WorkerSettings
from loadgen.unacked import Unacked
from loadgen.unacked import write as write_unacked
from loadgen.users import HttpUser, User
from loadgen.wire.keys import derive_keys
from loadgen.wire.link import Link
from loadgen.wire.messages import FROM_MASTER, Header, MessageType, decode_header
from loadgen.worker.agent import Agent, Assignment
from loadgen.worker.backend import WorkerBackend
from loadgen.worker.health import HealthMonitor
from loadgen.worker.logs import send_logs_to
from loadgen.worker.states import AgentState
from loadgen.worker.supply import BundleFetcher, MasterRows
from loadgen.worker.swarm import Swarm, class_rows

_FLUSH_S = 2.0


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """Why the worker ended: `refused` is the master's reason, "" if it was sent away in good order."""

    refused: str = ""


class Worker:
    """What the agent asks for, done: sends frames, imports the scenario, runs the swarm, seals deltas."""

    def __init__(self, endpoint: str, secret: bytes, uid: bytes, clock: Clock, scenario: Scenario | None) -> None:
        self.joined = Event()  # set when the master has welcomed us
        self._clock = clock
        self._recorder = Recorder(clock)
        self._health = HealthMonitor(clock)
        self._swarm: Swarm | None = None
        self._environment: Environment | None = None
        self._scenario = scenario
        self._wake = Event()
        self._endpoint = endpoint
        self._refused = False
        self._agent = Agent(uid, clock, self)
        self._backend = WorkerBackend(self._agent)
        self._fetcher = BundleFetcher(self._agent.ask)
        self._rows: MasterRows | None = None
        self._log_handler: logging.Handler | None = None
        self._link = Link(
            f"tcp://{endpoint}", derive_keys(secret), self._on_frames, self._on_connected, self._on_refused
        )

    def run(self) -> WorkerResult:
        """Join, run what is assigned, deliver everything, leave."""
        self._link.open()
        try:
            while self._agent.state is not AgentState.DONE:
                self._agent.on_tick()
                self._wake.wait(max(0.001, (self._agent.next_due_ns() - self._clock.now_ns()) / 1e9))
                self._wake.clear()
            self._agent.leave("sent away", rows_used(self._environment) if self._environment else {})
            self._link.flush(_FLUSH_S)
        finally:
            self._close()
        return WorkerResult(self._agent.reject_text)

    def _close(self) -> None:
        self._health.close()
        if self._log_handler is not None:
            logging.root.removeHandler(self._log_handler)
        if self._environment is not None:
            self._environment.events.quitting.fire(reverse=True, environment=self._environment)
            if self._environment.has_http:
                self._environment.http.close()
        self._fetcher.close()
        self._link.close()

    # -- what comes in

    def _on_frames(self, frames: list[bytes]) -> None:
        try:
            header = decode_header(frames[0], FROM_MASTER)
            self._agent.on_message(header, frames[1] if len(frames) > 1 else b"\x80")
        except Incompatible as exc:
            self._agent.refuse(f"{exc}: worker and master need the same major version")
        except Malformed as exc:
            logging.getLogger("loadgen").warning("dropped a frame of the master: %s", exc)
        self._wake.set()

    def _on_connected(self) -> None:
        self._agent.reconnected()
        self._wake.set()

    def _on_refused(self) -> None:
        if not self._refused:
            self._refused = True
            logging.getLogger("loadgen").warning(
                "%s answers, but refuses our key: is it a loadgen master with the same secret? Trying again …",
                self._endpoint,
            )

    # -- what the agent asks for (its Host)

    def send(self, header: Header, body: bytes) -> None:
        self._link.send(header, body)

    def load(self, settings: WorkerSettings, index: int) -> None:
        self.joined.set()
        gevent.spawn(self._load, settings, index)

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        if self._swarm is None:
            raise RuntimeError("assigned before the scenario was loaded")
        targets: Counter[str] = Counter()
        for share in assignment.shares:
            targets[assignment.plan.classes[share.class_index].name] += share.count
        self._backend.targets = targets
        self._swarm.start(assignment, offset_ns)

    def stop(self, timeout_s: float) -> None:
        if self._swarm is not None:
            self._swarm.stop(timeout_s)

    def suspend(self) -> None:
        if self._swarm is not None:
            self._swarm.suspend()

    def seal(self, window: Window, final: bool) -> tuple[bytes, bool]:
        body = seal(self._recorder, window, self._health.take(0), final)
        return body, is_drained(self._recorder)

    def user_count(self) -> int:
        return self._swarm.user_count if self._swarm is not None else 0

    def surplus(self) -> int:
        return self._swarm.surplus() if self._swarm is not None else 0

    def running(self) -> set[UserKey]:
        return self._swarm.running() if self._swarm is not None else set()

    def custom(self, kind: str, data: object) -> None:
        if self._environment is not None:
            self._backend.mailbox.deliver(ScenarioMessage(kind, data, "master"), self._environment)

    def answered(self, kind: MessageType, body: dict[str, Any]) -> None:
        if kind is MessageType.BUNDLE_CHUNK:
            self._fetcher.on_chunk(body)
        elif self._rows is not None:
            self._rows.on_grant(body)

    def keep(self, run_id: bytes, deltas: list[tuple[int, bytes]]) -> None:
        unacked = Unacked(run_id, self._agent.uid, self._agent.worker, tuple(deltas))
        path = write_unacked(Path.cwd(), unacked)
        logging.getLogger("loadgen").error("the master did not come back: what it lacks is in %s", path)

    # -- the scenario

    def _load(self, settings: WorkerSettings, index: int) -> None:
        try:
            classes = self._prepare(settings, index)
        except UsageError as exc:
            self._agent.load_failed(exc.code, exc.message, "\n".join(exc.hints))
        except Exception as exc:
            self._agent.load_failed("", f"{type(exc).__name__}: {exc}", "")
            logging.getLogger("loadgen").exception("the scenario could not be prepared")
        else:
            self._agent.loaded(class_rows(classes))
        self._wake.set()

    def _prepare(self, settings: WorkerSettings, index: int) -> list[type[User]]:
        self._log_handler = send_logs_to(self._recorder, settings.loglevel)
        scenario = self._scenario or load_scenario(self._fetched(settings))
        if scenario.sha256 != settings.scenario_sha256:
            raise ScenarioError(f"{settings.scenario_path} is not what the master has: it changed", code="LG305")
        classes = [cls for cls in scenario.user_classes if cls.__name__ in settings.classes]
        data.load_declared()  # read it now, not while the first users start
        self._environment = self._new_environment(settings, scenario, classes)
        self._rows = MasterRows(self._agent.ask, Place(index % settings.workers, settings.workers))
        attach(self._environment, self._rows)
        if any(issubclass(cls, HttpUser) for cls in classes):
            _ = self._environment.http  # import the engine now, not while the first users start
        self._backend.index = index
        self._swarm = Swarm(
            self._environment,
            self._recorder,
            {cls.__name__: cls for cls in classes},
            self._clock,
            settings.stop_timeout_s,
            on_begin=self._health.restart,
            on_gone=self._users_gone,
            on_idle=self._idle,
        )
        self._backend.swarm = self._swarm
        self._health.start()
        calm_gc()
        return classes

    def _fetched(self, settings: WorkerSettings) -> Path:
        """Where the scenario is on this machine."""
        if settings.bundle is None:
            return Path(settings.scenario_path)
        return self._fetcher.fetch(settings.bundle)

    def _new_environment(self, settings: WorkerSettings, scenario: Scenario, classes: list[type[User]]) -> Environment:
        environment = Environment(
            host=settings.host,
            parsed_options=Namespace(**settings.options),
            recorder=self._recorder,
            user_classes=classes,
            seed=settings.seed,
            clock=self._clock,
            tags=settings.tags,
            exclude_tags=settings.exclude_tags,
            dns_ttl_s=settings.dns_ttl_s,
            stop_timeout=settings.stop_timeout_s,
        )
        environment.runner = Runner(environment, self._backend)
        environment.events.init.fire(environment=environment, runner=environment.runner, web_ui=None)
        return environment

    def drain(self) -> None:
        """Told to end: finish, deliver, leave."""
        self._agent.drain()
        self._wake.set()

    def _users_gone(self) -> None:
        self._agent.users_gone()
        self._wake.set()

    def _idle(self) -> None:
        self._agent.idle()


def run_worker(
    endpoint: str,
    secret: bytes,
    uid: bytes | None = None,
    scenario: Scenario | None = None,
    on_made: Callable[[Worker], None] | None = None,
) -> WorkerResult:
    """Run one worker to its end, after `on_made` got it. Raises LoadgenError for what the user must know."""
    raise_file_limit()
    worker = Worker(endpoint, secret, uid or os.urandom(16), SystemClock(), scenario)
    if on_made is not None:
        on_made(worker)
    return worker.run()

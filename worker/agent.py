"""The worker's side of the protocol: decides what to do with each message and tick, and does nothing itself.

::

    state     event                  next       what happens
    JOINING   WELCOME                LOADING    import the scenario
              REJECTED, QUIT         DONE
    LOADING   LOADED                 READY      say which classes there are
              LOAD_FAILED            FAILED     say why
              QUIT                   DONE
    READY     ASSIGNED               RUNNING    start the users, seal a delta each second
              STOPPED                FLUSHING   nothing ran: an empty final delta
              QUIT                   DONE
    RUNNING   STOPPED                STOPPING   users finish their task, or are ended after the timeout
              USERS_GONE             FLUSHING   the plan is over: seal the final delta
              QUIT                   DONE
    STOPPING  USERS_GONE             FLUSHING
              STOPPED                STOPPING   again, with a shorter timeout
              QUIT                   DONE
    FLUSHING  QUIT                   DONE       the master has everything
              STOPPED                FLUSHING
    FAILED    QUIT, STOPPED          DONE, FAILED

Invariants: deltas are numbered without gaps and at most `outbox.WINDOW` are unacknowledged; the final
delta is the last one and is sealed only when no user is left; a command is applied once, in order.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import loadgen
from loadgen.clock import Clock
from loadgen.errors import Malformed
from loadgen.metrics.delta import Window
from loadgen.plan import Share, UserPlan
from loadgen.settings import WorkerSettings
from loadgen.wire.messages import Header, MessageType, decode_map, encode
from loadgen.worker.clocksync import ClockSync
from loadgen.worker.outbox import Outbox

HELLO_AGAIN_S = 2.0
RESEND_S = 5.0  # an acknowledgement this late was lost, or the delta was
NO_RUN = bytes(16)
IDLE = "idle"  # the state of a running worker none of whose users is left


class AgentState(Enum):
    JOINING = "joining"
    LOADING = "loading"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FLUSHING = "flushing"
    FAILED = "failed"
    DONE = "done"


class AgentEvent(Enum):
    WELCOME = "welcome"
    REJECTED = "rejected"
    LOADED = "loaded"
    LOAD_FAILED = "load failed"
    ASSIGNED = "assigned"
    STOPPED = "stopped"
    USERS_GONE = "users gone"
    QUIT = "quit"


_S, _E = AgentState, AgentEvent
_TRANSITIONS: dict[tuple[AgentState, AgentEvent], AgentState] = {
    (_S.JOINING, _E.WELCOME): _S.LOADING,
    (_S.JOINING, _E.REJECTED): _S.DONE,
    (_S.LOADING, _E.LOADED): _S.READY,
    (_S.LOADING, _E.LOAD_FAILED): _S.FAILED,
    (_S.READY, _E.ASSIGNED): _S.RUNNING,
    (_S.READY, _E.STOPPED): _S.FLUSHING,
    (_S.RUNNING, _E.STOPPED): _S.STOPPING,
    (_S.RUNNING, _E.USERS_GONE): _S.FLUSHING,
    (_S.STOPPING, _E.STOPPED): _S.STOPPING,
    (_S.STOPPING, _E.USERS_GONE): _S.FLUSHING,
    (_S.FLUSHING, _E.STOPPED): _S.FLUSHING,
    (_S.FAILED, _E.STOPPED): _S.FAILED,
    **{(state, _E.QUIT): _S.DONE for state in AgentState},
}


def transition(state: AgentState, event: AgentEvent) -> AgentState | None:
    """The next state, or None where the event means nothing in this state."""
    return _TRANSITIONS.get((state, event))


@dataclass(frozen=True, slots=True)
class Assignment:
    """Run these users; the run's time 0 is `start_ns` on the master's clock."""

    plan: UserPlan
    shares: tuple[Share, ...]
    start_ns: int


class Host(Protocol):
    """What an agent may ask of the process it lives in."""

    def send(self, header: Header, body: bytes) -> None: ...
    def load(self, settings: WorkerSettings, index: int) -> None:
        """Import the scenario, then call `loaded` or `load_failed`."""

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        """Start the users; call `users_gone` once, when the plan is over or stopped and none is left."""

    def stop(self, timeout_s: float) -> None: ...
    def seal(self, window: Window, final: bool) -> tuple[bytes, bool]:
        """The sealed delta, and whether nothing was left behind for want of room in it."""

    def users(self) -> int: ...
    def custom(self, kind: str, data: object) -> None: ...


class Agent:
    """The protocol side of one worker process (= one uid, one run)."""

    def __init__(self, uid: bytes, clock: Clock, host: Host) -> None:
        self.uid = uid
        self.state = AgentState.JOINING
        self.reject_text = ""
        self.clocksync = ClockSync()
        self._clock = clock
        self._host = host
        self._outbox = Outbox()
        self._run_id = NO_RUN
        self._heartbeat_ns = int(1e9)
        self._last_command = 0
        self._hello_sent_ns = 0
        self._heartbeat_sent_ns = 0
        self._start_ns = 0  # the run's time 0 on the master's clock
        self._sealed_ms = 0  # the end of the newest sealed window
        self._final_sealed = False
        self._idle = False
        self._report: tuple[MessageType, dict[str, Any]] | None = None  # how the import went
        self._delta_sent_ns = 0

    # -- what the master says

    def on_message(self, header: Header, body: bytes) -> None:
        """Act on one frame of the master. Raises Malformed for a body that makes no sense."""
        self._outbox.acknowledge(header.ack)
        if header.type is MessageType.WELCOME:
            self._on_welcome(header, decode_map(body))
        elif header.type is MessageType.REJECT:
            self.reject_text = str(decode_map(body).get("text", "no reason given"))
            self._move(AgentEvent.REJECTED)
        elif header.type is MessageType.HEARTBEAT:
            self._on_heartbeat(header, decode_map(body))
        elif header.type is MessageType.CUSTOM:
            content = decode_map(body)
            self._host.custom(str(content.get("type", "")), content.get("data"))
        else:
            self._on_command(header, decode_map(body))

    def _on_welcome(self, header: Header, body: dict[str, Any]) -> None:
        settings = WorkerSettings.from_wire(body.get("settings"))
        index, heartbeat_s = body.get("index"), body.get("heartbeat_s")
        if not isinstance(index, int) or not isinstance(heartbeat_s, int | float) or heartbeat_s <= 0:
            raise Malformed("welcome: index or heartbeat_s is missing")
        if self._move(AgentEvent.WELCOME):
            self._run_id = header.run_id
            self._heartbeat_ns = int(heartbeat_s * 1e9)
            self._host.load(settings, index)

    def _on_heartbeat(self, header: Header, body: dict[str, Any]) -> None:
        echo_ns, received_ns = body.get("echo_ns"), body.get("received_ns")
        if isinstance(echo_ns, int) and isinstance(received_ns, int) and echo_ns:
            self.clocksync.add(echo_ns, received_ns, header.t_ns, self._clock.now_ns())

    def _on_command(self, header: Header, body: dict[str, Any]) -> None:
        if header.seq != self._last_command + 1:
            return  # a repeat, or a later one that will be sent again after the missing one
        if header.type is MessageType.ASSIGN:
            self._on_assign(body)
        elif header.type is MessageType.STOP:
            self._on_stop(body)
        elif header.type is MessageType.QUIT:
            self._move(AgentEvent.QUIT)
        self._last_command = header.seq

    def _on_assign(self, body: dict[str, Any]) -> None:
        plan = UserPlan.from_wire(body.get("plan"))
        try:
            shares = tuple(Share(*(int(number) for number in row)) for row in body["shares"])
            start_ns = int(body["start_ns"])
        except (KeyError, TypeError, ValueError) as exc:
            raise Malformed(f"assignment: {exc!r}") from exc
        if self._move(AgentEvent.ASSIGNED):
            self._start_ns = start_ns
            self._host.start(Assignment(plan, shares, start_ns), self.clocksync.offset_ns)

    def _on_stop(self, body: dict[str, Any]) -> None:
        timeout_s = body.get("timeout_s")
        if not isinstance(timeout_s, int | float) or timeout_s < 0:
            raise Malformed("stop: timeout_s is missing")
        if not self._move(AgentEvent.STOPPED):
            return
        if self.state is AgentState.FLUSHING:
            self._seal_final()
        elif self.state is AgentState.STOPPING:
            self._host.stop(float(timeout_s))

    # -- what the process says

    def loaded(self, classes: list[list[Any]]) -> None:
        """The scenario is imported; `classes` are rows of (name, weight, fixed_count)."""
        self._report = (MessageType.READY, {"classes": classes})
        if self._move(AgentEvent.LOADED):
            self._send(*self._report)

    def load_failed(self, code: str, text: str, traceback: str) -> None:
        """The scenario cannot be used; the master ends the run and shows why."""
        self._report = (MessageType.FAILED, {"code": code, "text": text, "traceback": traceback})
        if self._move(AgentEvent.LOAD_FAILED):
            self._send(*self._report)

    def idle(self) -> None:
        """Every user ended by itself before the plan was over: say so at once, the run may end early."""
        self._idle = True
        self._send(MessageType.HEARTBEAT, {"users": 0, "state": IDLE})

    def users_gone(self) -> None:
        """No user is left and none will start."""
        if self._move(AgentEvent.USERS_GONE):
            self._seal_final()

    def send_custom(self, kind: str, data: object) -> None:
        self._send(MessageType.CUSTOM, {"type": kind, "data": data})

    def ask_to_stop(self) -> None:
        """The scenario wants the whole run to end."""
        self._send(MessageType.ASK_STOP, {})

    def leave(self, reason: str) -> None:
        """Say goodbye: the process is about to end."""
        self._send(MessageType.BYE, {"reason": reason})

    def reconnected(self) -> None:
        """The connection is new: introduce ourselves, and send again what was not acknowledged."""
        self.hello()
        self._resend()

    def _resend(self) -> None:
        for seq, body in self._outbox.unacknowledged():
            self._send_raw(MessageType.DELTA, seq, body)

    # -- time

    def hello(self) -> None:
        """Introduce ourselves; the master answers with a welcome or a reject."""
        self._hello_sent_ns = self._clock.now_ns()
        body = {
            "version": loadgen.__version__,
            "pid": os.getpid(),
            "host": platform.node(),
            "features": [],
        }
        self._send(MessageType.HELLO, body)

    def on_tick(self) -> None:
        """Do what is due: introduce ourselves again, seal a delta, show that we live."""
        now_ns = self._clock.now_ns()
        if self.state is AgentState.JOINING:
            if now_ns - self._hello_sent_ns >= HELLO_AGAIN_S * 1e9:
                self.hello()
        elif self.state in (AgentState.RUNNING, AgentState.STOPPING):
            self._seal_due(now_ns)
        elif self.state is AgentState.FLUSHING and not self._final_sealed:
            self._seal_final()
        if not self._outbox.is_empty and now_ns - self._delta_sent_ns >= RESEND_S * 1e9:
            self._resend()
        if self.state is not AgentState.JOINING and now_ns - self._heartbeat_sent_ns >= self._heartbeat_ns:
            self._heartbeat_sent_ns = now_ns
            self._send_heartbeat()

    def _send_heartbeat(self) -> None:
        if self._report is not None and self.state in (AgentState.READY, AgentState.FAILED):
            self._send(*self._report)  # the first one may have been lost
            return
        state = IDLE if self._idle and self.state is AgentState.RUNNING else self.state.value
        self._send(MessageType.HEARTBEAT, {"users": self._host.users(), "state": state})

    def next_due_ns(self) -> int:
        """When `on_tick` has something to do, at the latest, on our clock."""
        due_ns = self._heartbeat_sent_ns + self._heartbeat_ns
        if self.state in (AgentState.RUNNING, AgentState.STOPPING) and self._outbox.has_room:
            next_ms = (self._sealed_ms // 1000 + 1) * 1000
            due_ns = min(due_ns, self._start_ns + next_ms * 1_000_000 - self.clocksync.offset_ns)
        return due_ns

    def _seal_due(self, now_ns: int) -> None:
        end_ms = self._run_ms(now_ns) // 1000 * 1000
        if end_ms > self._sealed_ms and self._outbox.has_room:
            self._seal(end_ms, final=False)

    def _seal_final(self) -> None:
        """Seal until nothing is left; the last of these deltas says that it is final."""
        while not self._final_sealed and self._outbox.has_room:
            end_ms = self._run_ms(self._clock.now_ns()) if self._start_ns else 0
            self._final_sealed = self._seal(max(end_ms, self._sealed_ms), final=True)

    def _seal(self, end_ms: int, final: bool) -> bool:
        body, drained = self._host.seal(Window(self._sealed_ms, end_ms), final)
        self._sealed_ms = end_ms
        self._send_raw(MessageType.DELTA, self._outbox.add(body), body)
        return drained

    def _run_ms(self, now_ns: int) -> int:
        """Milliseconds since the run's start, on the master's clock; 0 before it."""
        return max(0, (now_ns + self.clocksync.offset_ns - self._start_ns) // 1_000_000)

    @property
    def everything_acknowledged(self) -> bool:
        """The final delta was sealed and the master has it."""
        return self._final_sealed and self._outbox.is_empty

    # -- sending

    def _move(self, event: AgentEvent) -> bool:
        following = transition(self.state, event)
        if following is None:
            return False
        self.state = following
        return True

    def _send(self, kind: MessageType, body: dict[str, Any]) -> None:
        self._send_raw(kind, 0, encode(body))

    def _send_raw(self, kind: MessageType, seq: int, body: bytes) -> None:
        now_ns = self._clock.now_ns()
        if kind is MessageType.DELTA:
            self._delta_sent_ns = self._heartbeat_sent_ns = now_ns  # a delta shows as well that we live
        self._host.send(Header(kind, self.uid, self._run_id, seq, self._last_command, now_ns), body)

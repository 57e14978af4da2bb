"""The worker's side of the protocol: decides what to do with each message and tick, and does nothing itself.

The states stand in `loadgen.worker.states`. Invariants:

- deltas are numbered without gaps and at most `outbox.WINDOW` are unacknowledged;
- the final delta is the last one and is sealed only when no user is left;
- a command is applied once, in order, and only from the newest epoch of the master;
- no user runs longer than the lease without a sign of life from the master.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Any, Protocol

import loadgen
from loadgen.clock import Clock
from loadgen.errors import Malformed
from loadgen.metrics.delta import Window
from loadgen.plan import Share, UserKey, UserPlan, to_shares, users_of
from loadgen.settings import WorkerSettings
from loadgen.wire.messages import Header, MessageType, decode_map, encode
from loadgen.worker.clocksync import ClockSync
from loadgen.worker.outbox import Outbox
from loadgen.worker.states import AgentEvent, AgentState, transition

HELLO_AGAIN_S = 2.0
RESEND_S = 5.0  # an acknowledgement this late was lost, or the delta was
GIVE_UP_S = 900.0  # how long measurements are kept for a master that does not come back
SETTLE_S = 10.0  # after an assignment heartbeats go beside deltas, so that the master sees users end
DRAIN_S = 8.0  # for users to finish when this process is told to leave
NO_RUN = bytes(16)
IDLE = "idle"  # the state of a running worker none of whose users is left
SUSPENDED = "suspended"  # … whose users were ended because the lease was out


@dataclass(frozen=True, slots=True)
class Assignment:
    """Run exactly these users; the run's time 0 is `start_ns` on the master's clock.

    `wave` numbers the assignments of a run: users of the first start on the plan's schedule, users
    that come with a later one start at `rate_per_s`, as another incarnation of themselves.
    """

    plan: UserPlan
    shares: tuple[Share, ...]
    start_ns: int
    wave: int = 0
    rate_per_s: float = 0.0


class Host(Protocol):
    """What an agent may ask of the process it lives in."""

    def send(self, header: Header, body: bytes) -> None: ...
    def load(self, settings: WorkerSettings, index: int) -> None:
        """Import the scenario, then call `loaded` or `load_failed`."""

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        """Make it so: start and end users. Call `users_gone` once, when the plan is over or stopped."""

    def stop(self, timeout_s: float) -> None:
        """End every user, for good."""

    def suspend(self) -> None:
        """End every user now; a later assignment may bring others."""

    def seal(self, window: Window, final: bool) -> tuple[bytes, bool]:
        """The sealed delta, and whether nothing was left behind for want of room in it."""

    def user_count(self) -> int: ...
    def surplus(self) -> int:
        """How many live that are not in the newest assignment any more."""

    def running(self) -> set[UserKey]:
        """Who lives now, those included who were released but still finish a task."""

    def custom(self, kind: str, data: object) -> None: ...
    def answered(self, kind: MessageType, body: dict[str, Any]) -> None:
        """An answer to something the process itself has asked for (bundle chunks, data rows)."""

    def keep(self, run_id: bytes, deltas: list[tuple[int, bytes]]) -> None:
        """Save what the master never acknowledged."""


class Agent:
    """The protocol side of one worker process (= one uid, one run)."""

    def __init__(self, uid: bytes, clock: Clock, host: Host) -> None:
        self.uid = uid
        self.state = AgentState.JOINING
        self.worker = ""  # our name, as the master gave it
        self.reject_text = ""
        self.gave_up = False
        self.clocksync = ClockSync()
        self._clock = clock
        self._host = host
        self._outbox = Outbox()
        self._run_id = NO_RUN
        self._epoch = 0
        self._heartbeat_ns = int(1e9)
        self._lease_ns: int | None = None
        self._heard_ns = 0  # on our clock: when we sent the newest frame that the master has heard
        self._last_command = 0
        self._assignment: Assignment | None = None
        self._hello_sent_ns = 0
        self._heartbeat_sent_ns = 0
        self._delta_sent_ns = 0
        self._settle_until_ns = 0
        self._start_ns = 0  # the run's time 0 on the master's clock
        self._sealed_ms = 0  # the end of the newest sealed window
        self._final_sealed = False
        self._idle = False
        self._suspended = False
        self._draining = False
        self._report: tuple[MessageType, dict[str, Any]] | None = None  # how the import went

    # -- what the master says

    def on_message(self, header: Header, body: bytes) -> None:
        """Act on one frame of the master. Raises Malformed for a body that makes no sense."""
        content = decode_map(body)
        if header.type is MessageType.WELCOME:
            self._on_welcome(header, content)
            return
        if header.type is MessageType.REJECT:
            self.refuse(str(content.get("text", "no reason given")))
            return
        if header.run_id != self._run_id:
            return  # of a run that is not ours
        if header.type is MessageType.RESYNC:
            if self._clock.now_ns() - self._hello_sent_ns >= self._heartbeat_ns:
                self.reconnected()
            return
        self._outbox.acknowledge(header.ack)
        if header.type is MessageType.HEARTBEAT:
            self._on_heartbeat(header, content)
        elif header.type is MessageType.CUSTOM:
            self._host.custom(str(content.get("type", "")), content.get("data"))
        elif header.type in (MessageType.BUNDLE_CHUNK, MessageType.ROWS_GRANTED):
            self._host.answered(header.type, content)
        else:
            self._on_command(header, content)

    def refuse(self, reason: str) -> None:
        """The master does not want us; a worker that already runs waits for a better one, under its lease."""
        self.reject_text = reason
        if self.state is AgentState.FLUSHING and self.everything_acknowledged:
            self._move(AgentEvent.DELIVERED)
        self._move(AgentEvent.REJECTED)

    def _on_welcome(self, header: Header, body: dict[str, Any]) -> None:
        settings = WorkerSettings.from_wire(body.get("settings"))
        index, epoch = _count(body, "index"), _count(body, "epoch")
        heartbeat_s, lease_s = body.get("heartbeat_s"), body.get("lease_s")
        if not isinstance(heartbeat_s, int | float) or heartbeat_s <= 0:
            raise Malformed("welcome: heartbeat_s is missing")
        if self.state is not AgentState.JOINING and header.run_id != self._run_id:
            return
        self._heard_ns = max(self._heard_ns, self._hello_sent_ns)
        self._lease_ns = int(lease_s * 1e9) if isinstance(lease_s, int | float) else None
        self.worker = str(body.get("worker", ""))
        if self._move(AgentEvent.WELCOME):
            self._run_id, self._epoch = header.run_id, epoch
            self._heartbeat_ns = int(heartbeat_s * 1e9)
            self._host.load(settings, index)
        elif epoch > self._epoch:
            self._follow(epoch, _count(body, "start_ns"))

    def _follow(self, epoch: int, start_ns: int) -> None:
        """The master was restarted: its clock has another zero, so the run's time 0 has another value."""
        self._epoch = epoch
        self.clocksync = ClockSync()
        if self._start_ns and start_ns:
            self._start_ns = start_ns

    def _on_heartbeat(self, header: Header, body: dict[str, Any]) -> None:
        echo_ns, received_ns = body.get("echo_ns"), body.get("received_ns")
        if isinstance(echo_ns, int) and isinstance(received_ns, int) and echo_ns:
            self.clocksync.add(echo_ns, received_ns, header.t_ns, self._clock.now_ns())
            self._heard_ns = max(self._heard_ns, min(echo_ns, self._clock.now_ns()))

    def _on_command(self, header: Header, body: dict[str, Any]) -> None:
        if header.seq != self._last_command + 1 or _count(body, "epoch") < self._epoch:
            return  # a repeat, a later one that will be sent again after the missing one, or an old master's
        if header.type is MessageType.ASSIGN and self._is_deaf(self._clock.now_ns()):
            return  # it may have been under way for long: the master repeats what still holds
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
            shares = tuple(Share.from_wire(row, plan) for row in body["shares"])
            rate_per_s = float(body["rate_per_s"])
        except (KeyError, TypeError, ValueError) as exc:
            raise Malformed(f"assignment: {exc!r}") from exc
        start_ns, wave = _count(body, "start_ns"), _count(body, "wave")
        if self._move(AgentEvent.ASSIGNED):
            if not self._start_ns:
                self._sealed_ms = self._first_window_ms(start_ns)
            self._start_ns = start_ns
            self._idle = self._suspended = False
            self._settle_until_ns = self._clock.now_ns() + int(SETTLE_S * 1e9)
            self._assignment = Assignment(plan, shares, start_ns, wave, rate_per_s)
            self._host.start(self._assignment, self.clocksync.offset_ns)

    def _first_window_ms(self, start_ns: int) -> int:
        """Where the first window of a worker begins: at 0, or when it joins a run under way."""
        now_ms = (self._clock.now_ns() + self.clocksync.offset_ns - start_ns) // 1_000_000
        return max(0, now_ms)

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
        self._send_heartbeat()

    def users_gone(self) -> None:
        """No user is left and none will start."""
        if self._move(AgentEvent.USERS_GONE):
            self._seal_final()

    def drain(self) -> None:
        """This process is to leave: finish, flush, wait for the acknowledgement, go."""
        self._draining = True
        if self._move(AgentEvent.DRAIN) and self.state is AgentState.STOPPING:
            self._host.stop(DRAIN_S)

    def ask(self, kind: MessageType, body: dict[str, Any]) -> None:
        """Ask the master for something (bundle chunks, data rows); the answer goes to `Host.answered`."""
        self._send(kind, body)

    def send_custom(self, kind: str, data: object) -> None:
        self._send(MessageType.CUSTOM, {"type": kind, "data": data})

    def ask_to_stop(self) -> None:
        """The scenario wants the whole run to end."""
        self._send(MessageType.ASK_STOP, {})

    def leave(self, reason: str, rows_used: dict[str, int]) -> None:
        """Say goodbye: the process is about to end."""
        self._send(MessageType.BYE, {"reason": reason, "rows_used": rows_used})

    def reconnected(self) -> None:
        """The connection is new: introduce ourselves, and send again what was not acknowledged."""
        self.hello()
        self._resend()
        self._settle_until_ns = self._clock.now_ns() + int(SETTLE_S * 1e9)

    def _resend(self) -> None:
        for seq, body in self._outbox.unacknowledged():
            self._send_raw(MessageType.DELTA, seq, body)

    # -- time

    def hello(self) -> None:
        """Introduce ourselves and say where we are; the master answers with a welcome or a reject."""
        self._hello_sent_ns = self._clock.now_ns()
        if self.state is not AgentState.JOINING:
            self._check_lease(self._hello_sent_ns)  # after a long sleep this may be the first thing we do
        assignment = self._assignment
        assigned = set() if assignment is None or self._suspended else users_of(assignment.shares)
        body = {
            "version": loadgen.__version__,
            "pid": os.getpid(),
            "host": platform.node(),
            "features": [],
            "state": self.state.value,
            "wave": assignment.wave if assignment else 0,
            "shares": [share.to_wire() for share in to_shares(assigned | self._host.running())],
        }
        self._send(MessageType.HELLO, body)

    def on_tick(self) -> None:
        """Do what is due: introduce ourselves again, seal a delta, end users whose lease is out, show that we live."""
        now_ns = self._clock.now_ns()
        if self.state is AgentState.JOINING:
            if now_ns - self._hello_sent_ns >= HELLO_AGAIN_S * 1e9:
                self.hello()
            return
        self._check_lease(now_ns)
        if self.state in (AgentState.RUNNING, AgentState.STOPPING):
            self._seal_due(now_ns)
        elif self.state is AgentState.FLUSHING:
            self._seal_final()
            if self._draining and self.everything_acknowledged:
                self._move(AgentEvent.DELIVERED)
        if not self._outbox.is_empty and now_ns - self._delta_sent_ns >= RESEND_S * 1e9:
            self._resend()
        if now_ns - self._heartbeat_sent_ns >= self._heartbeat_ns:
            self._send_heartbeat()

    def _check_lease(self, now_ns: int) -> None:
        if self._lease_ns is None:
            return
        if self.state is AgentState.RUNNING and not self._suspended and self._is_deaf(now_ns):
            self._suspended = True
            self._host.suspend()
        elif self.state is AgentState.STOPPING and not self._suspended and self._is_deaf(now_ns):
            self._suspended = True
            self._host.stop(0.0)
        if now_ns - self._heard_ns >= self._lease_ns + GIVE_UP_S * 1e9:
            self._give_up()

    def _is_deaf(self, now_ns: int) -> bool:
        """Whether the lease is out: counted from the sending of the newest frame the master says it has heard.

        So the master, which counts from hearing it, never thinks the lease over while it still runs here.
        """
        return self._lease_ns is not None and now_ns - self._heard_ns >= self._lease_ns

    def _give_up(self) -> None:
        """No master for so long: save what it lacks and end."""
        while self._start_ns and not self._final_sealed:
            self._final_sealed = self._seal(max(self._run_ms(self._clock.now_ns()), self._sealed_ms), final=True)
        if not self._outbox.is_empty:
            self._host.keep(self._run_id, self._outbox.unacknowledged())
        self.gave_up = True
        self._move(AgentEvent.GAVE_UP)

    def _send_heartbeat(self) -> None:
        self._heartbeat_sent_ns = self._clock.now_ns()
        if self._report is not None and self.state in (AgentState.READY, AgentState.FAILED):
            self._send(*self._report)  # the first one may have been lost
            return
        surplus = self._host.surplus()
        if surplus:  # until the last of them has ended, the master waits to hear of it
            self._settle_until_ns = self._heartbeat_sent_ns + int(SETTLE_S * 1e9)
        body = {
            "users": self._host.user_count(),
            "surplus": surplus,
            "state": self._shown_state(),
            "deaf": self._is_deaf(self._clock.now_ns()),
        }
        self._send(MessageType.HEARTBEAT, body)

    def _shown_state(self) -> str:
        if self.state is AgentState.RUNNING and self._suspended:
            return SUSPENDED
        return IDLE if self.state is AgentState.RUNNING and self._idle else self.state.value

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
            self._delta_sent_ns = now_ns
            if not (self._idle or self._suspended or now_ns < self._settle_until_ns):
                self._heartbeat_sent_ns = now_ns  # a delta shows as well that we live
        self._host.send(Header(kind, self.uid, self._run_id, seq, self._last_command, now_ns), body)


def _count(body: dict[str, Any], key: str) -> int:
    """A whole number of the body. Raises Malformed."""
    value = body.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Malformed(f"{key} is {value!r}, not a whole number")

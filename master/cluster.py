"""The master's side of the protocol: members, commands, acknowledgements. Pure: frames in, frames out.

Whoever drives it (the native thread in `service`, or a test) passes in every frame and the time, sends
what stands in `outgoing` and hands `events` to the hub. Invariants:

- an acknowledgement is sent only after the store has committed what it acknowledges;
- commands to one member are numbered without gaps and repeated until acknowledged;
- a frame that is malformed, of another run, or from a connection that never said hello changes nothing
  but a counter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import loadgen
from loadgen.errors import Incompatible, Malformed
from loadgen.master.assign import assign
from loadgen.master.ledger import Applied, Ledger
from loadgen.master.members import Member, MemberEvent, MemberState
from loadgen.master.store import Store
from loadgen.plan import UserPlan
from loadgen.wire.messages import (
    FROM_WORKER,
    UID_BYTES,
    Header,
    MessageType,
    decode_header,
    decode_map,
    encode,
    encode_header,
)

HEARTBEAT_S = 1.0
COMMAND_AGAIN_S = 1.0
COMMIT_EVERY_S = 0.1
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class MemberFailed:
    """A worker could not import the scenario."""

    worker: str
    code: str
    text: str
    traceback: str


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """A worker is in a new state; `reason` says why where that is bad."""

    worker: str
    state: MemberState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CustomMessage:
    """A scenario's worker sent a message of its own."""

    worker: str
    kind: str
    data: object


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A worker's scenario wants the run to end."""

    worker: str


ClusterEvent = MemberFailed | MemberChanged | CustomMessage | StopAsked


class Cluster:
    """The members of one run and what was said to them."""

    def __init__(self, run_id: bytes, settings: dict[str, Any], ledger: Ledger, store: Store) -> None:
        self.run_id = run_id
        self.ledger = ledger
        self.members: dict[bytes, Member] = {}
        self.outgoing: list[tuple[bytes, bytes, bytes]] = []  # (peer, header, body)
        self.events: list[ClusterEvent] = []
        self.rejected: Counter[str] = Counter()  # frames dropped, by reason
        self.slow: Counter[str] = Counter()  # sends that found a peer's queue full, by worker
        self._settings = settings
        self._store = store
        self._by_peer: dict[bytes, Member] = {}
        self._dirty = False
        self._committed_ns = 0

    # -- frames

    def on_frames(self, peer: bytes, frames: list[bytes], now_ns: int) -> None:
        """Act on one message of one connection. Never raises: what is wrong is dropped and counted."""
        try:
            if len(frames) != 2:
                raise Malformed(f"{len(frames)} frames")
            header = decode_header(frames[0], FROM_WORKER)
            self._on_message(peer, header, frames[1], now_ns)
        except Incompatible as exc:
            self.rejected["incompatible"] += 1
            text = f"{exc}: worker and master need the same major version (this master is {loadgen.__version__})"
            self._send_to(peer, bytes(UID_BYTES), MessageType.REJECT, {"code": "LG302", "text": text}, now_ns)
        except Malformed:
            self.rejected["malformed"] += 1

    def _on_message(self, peer: bytes, header: Header, body: bytes, now_ns: int) -> None:
        if header.type is MessageType.HELLO:
            self._on_hello(peer, header, decode_map(body), now_ns)
            return
        member = self._by_peer.get(peer)
        if member is None or member.uid != header.worker_uid or header.run_id != self.run_id:
            self.rejected["stranger"] += 1
            return
        member.heard_ns, member.their_t_ns = now_ns, header.t_ns
        while member.commands and member.commands[0][0] <= header.ack:
            member.commands.popleft()
        if header.type is MessageType.DELTA:
            self._on_delta(member, header.seq, body)
        else:
            self._on_control(member, header.type, decode_map(body))

    def _on_hello(self, peer: bytes, header: Header, body: dict[str, Any], now_ns: int) -> None:
        member = self.members.get(header.worker_uid)
        if member is None:
            index = len(self.members)
            member = Member(header.worker_uid, f"w{index + 1}", index, peer)
            member.host, member.pid = str(body.get("host", ""))[:256], _whole(body.get("pid"))
            self.members[header.worker_uid] = member
            self.ledger.join(member.id)
            self.events.append(MemberChanged(member.id, member.state))
        self._by_peer.pop(member.peer, None)
        self._by_peer[peer] = member
        member.peer, member.heard_ns, member.their_t_ns = peer, now_ns, header.t_ns
        welcome = {
            "worker": member.id,
            "index": member.index,
            "settings": self._settings,
            "heartbeat_s": HEARTBEAT_S,
        }
        self._send(member, MessageType.WELCOME, welcome, now_ns)

    def _on_delta(self, member: Member, seq: int, body: bytes) -> None:
        if seq < 1:
            raise Malformed("deltas are numbered from 1")
        applied = self.ledger.apply(member.id, seq, body)
        if applied is not Applied.GAP:
            self._dirty = True  # a repeat is acknowledged again: its acknowledgement may have been lost

    def _on_control(self, member: Member, kind: MessageType, body: dict[str, Any]) -> None:
        if kind is MessageType.READY:
            member.classes = tuple((str(n), _number(w), _whole(f)) for n, w, f in _rows(body.get("classes")))
            self._move(member, MemberEvent.READY)
        elif kind is MessageType.FAILED:
            code, text, trace = (str(body.get(key, "")) for key in ("code", "text", "traceback"))
            if self._move(member, MemberEvent.FAILED, text):
                self.events.append(MemberFailed(member.id, code, text, trace))
        elif kind is MessageType.HEARTBEAT:
            if body.get("state") == IDLE and not member.idle:
                member.idle = True
                self.events.append(MemberChanged(member.id, member.state))
        elif kind is MessageType.CUSTOM:
            self.events.append(CustomMessage(member.id, str(body.get("type", "")), body.get("data")))
        elif kind is MessageType.ASK_STOP:
            self.events.append(StopAsked(member.id))
        elif kind is MessageType.BYE:
            self._move(member, MemberEvent.LEFT, str(body.get("reason", "")))

    # -- commands

    def assign(self, plan: UserPlan, start_ns: int, now_ns: int) -> None:
        """Share the plan out over the members that are ready."""
        ready = [member for member in self.members.values() if member.state is MemberState.READY]
        shares = assign(plan, [member.id for member in ready])
        for member in ready:
            body = {
                "plan": plan.to_wire(),
                "shares": [share.to_wire() for share in shares[member.id]],
                "start_ns": start_ns,
            }
            self._command(member, MessageType.ASSIGN, body, now_ns)
            self._move(member, MemberEvent.ASSIGNED)

    def stop(self, timeout_s: float, now_ns: int) -> None:
        """End every user: gracefully, and by force after `timeout_s`."""
        for member in self._expected():
            self._command(member, MessageType.STOP, {"timeout_s": timeout_s}, now_ns)
            self._move(member, MemberEvent.STOPPED)

    def quit(self, now_ns: int) -> None:
        """Send everybody away."""
        for member in self.members.values():
            if member.is_reachable:
                self._command(member, MessageType.QUIT, {}, now_ns)

    def lose(self, uid: bytes, reason: str) -> None:
        """This worker is certainly gone: its process ended, or its time is up."""
        member = self.members.get(uid)
        if member is not None:
            self._move(member, MemberEvent.LOST, reason)

    def lose_unsettled(self, reason: str) -> None:
        for member in self._expected():
            self._move(member, MemberEvent.LOST, reason)

    def send_custom(self, kind: str, data: object, worker: str | None, now_ns: int) -> None:
        """Pass a message of the scenario on to one worker, or to all."""
        for member in self.members.values():
            if member.is_reachable and worker in (None, member.id):
                self._send(member, MessageType.CUSTOM, {"type": kind, "data": data}, now_ns)

    # -- time

    def on_tick(self, now_ns: int) -> None:
        """Commit what was applied, acknowledge it, repeat commands, show that we live."""
        if self._dirty and now_ns - self._committed_ns >= COMMIT_EVERY_S * 1e9:
            self._commit(now_ns)
        for member in self.members.values():
            if not member.is_reachable:
                continue
            for place, (number, kind, body, sent_ns) in enumerate(member.commands):
                if now_ns - sent_ns >= COMMAND_AGAIN_S * 1e9:
                    member.commands[place] = (number, kind, body, now_ns)
                    self._send(member, kind, body, now_ns, seq=number)
            if now_ns - member.sent_ns >= HEARTBEAT_S * 1e9:
                self._send_heartbeat(member, now_ns)

    def _commit(self, now_ns: int) -> None:
        acknowledged = self.ledger.commit(self._store)
        self._dirty, self._committed_ns = False, now_ns
        for member in self.members.values():
            member.committed_seq = acknowledged.get(member.id, member.committed_seq)
            if member.id in acknowledged and member.is_reachable:
                self._send_heartbeat(member, now_ns)
            if self.ledger.report(member.id).final:
                self._move(member, MemberEvent.FINAL)

    # -- sending

    def _expected(self) -> Iterator[Member]:
        return (member for member in self.members.values() if not member.is_settled)

    def _move(self, member: Member, event: MemberEvent, reason: str = "") -> bool:
        if not member.move(event):
            return False
        if member.state in (MemberState.LOST, MemberState.FAILED):
            member.reason = reason
        self.events.append(MemberChanged(member.id, member.state, member.reason))
        return True

    def _command(self, member: Member, kind: MessageType, body: dict[str, Any], now_ns: int) -> None:
        member.last_command += 1
        member.commands.append((member.last_command, kind, body, now_ns))
        self._send(member, kind, body, now_ns, seq=member.last_command)

    def _send_heartbeat(self, member: Member, now_ns: int) -> None:
        body = {"echo_ns": member.their_t_ns, "received_ns": member.heard_ns}
        self._send(member, MessageType.HEARTBEAT, body, now_ns)

    def _send(self, member: Member, kind: MessageType, body: dict[str, Any], now_ns: int, seq: int = 0) -> None:
        member.sent_ns = now_ns
        self._send_to(member.peer, member.uid, kind, body, now_ns, seq, member.committed_seq)

    def _send_to(
        self,
        peer: bytes,
        uid: bytes,
        kind: MessageType,
        body: dict[str, Any],
        now_ns: int,
        seq: int = 0,
        ack: int = 0,
    ) -> None:
        header = encode_header(Header(kind, uid, self.run_id, seq, ack, now_ns))
        self.outgoing.append((peer, header, encode(body)))

    def could_not_send(self, peer: bytes) -> None:
        """The shell found this connection gone or its queue full; what mattered is repeated later."""
        member = self._by_peer.get(peer)
        self.slow[member.id if member else "stranger"] += 1


def _whole(value: object) -> int:
    """`value` as a non-negative int. Raises Malformed."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Malformed(f"expected a whole number, got {value!r}"[:100])


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise Malformed(f"expected a number, got {value!r}"[:100])


def _rows(value: object) -> list[tuple[Any, Any, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == 3 for row in value):
        raise Malformed("expected rows of three")
    return [(row[0], row[1], row[2]) for row in value]

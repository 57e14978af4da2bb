"""The master's side of the protocol: members, commands, acknowledgements. Pure: frames in, frames out.

Whoever drives it (the native thread in `service`, or a test) passes in every frame and the time, sends
what stands in `outgoing` and hands `events` to the hub. Invariants:

- an acknowledgement is sent only after the store has committed what it acknowledges;
- commands to one member are numbered without gaps and repeated until acknowledged;
- a user runs on at most one worker, and on none whose lease may still be running elsewhere;
- a frame that is malformed, of another run, or from a connection that never said hello changes nothing
  but a counter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import loadgen
from loadgen.data_port import Wanted
from loadgen.errors import Incompatible, Malformed, StoreError
from loadgen.master.assign import assign
from loadgen.master.ledger import Applied, Ledger
from loadgen.master.members import Member, MemberEvent, MemberState
from loadgen.master.reassign import Holdings
from loadgen.master.replan import replan
from loadgen.master.store import Store
from loadgen.master.store_records import MemberRecord
from loadgen.master.supplies import Supplies
from loadgen.plan import Share, UserKey, UserPlan, to_shares, users_of
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
REPLAN_EVERY_S = 0.25
LEASE_SLACK = 1.01  # clocks of two machines may differ in speed, and …
LEASE_EXTRA_S = 2.0  # … what the worker last heard may have been under way for a while
IDLE, SUSPENDED = "idle", "suspended"
ROWS_BLOB = "rows"  # the leases of shared data, in the store
_MAX_NUMBER = 1 << 32  # of commands and waves; a run sees a few


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


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """The store cannot write; measurements wait with the workers meanwhile."""

    text: str


ClusterEvent = MemberFailed | MemberChanged | CustomMessage | StopAsked | StoreTrouble


class Cluster:
    """The members of one run and what was said to them."""

    def __init__(
        self,
        run_id: bytes,
        settings: dict[str, Any],
        ledger: Ledger,
        store: Store,
        lease_s: float | None = None,
        epoch: int = 1,
        supplies: Supplies | None = None,
    ) -> None:
        self.run_id = run_id
        self.lease_s = lease_s
        self.epoch = epoch
        self.supplies = supplies or Supplies()
        self.ledger = ledger
        self.members: dict[bytes, Member] = {}
        self.outgoing: list[tuple[bytes, bytes, bytes]] = []  # (peer, header, body)
        self.events: list[ClusterEvent] = []
        self.rejected: Counter[str] = Counter()  # frames dropped, by reason
        self.slow: Counter[str] = Counter()  # sends that found a peer's queue full, by worker
        self._settings = settings
        self._store = store
        self._by_peer: dict[bytes, Member] = {}
        self.store_trouble = ""  # why the store cannot write at present
        self._dirty = False
        self._committed_ns = 0
        self._plan: UserPlan | None = None  # while users are to run
        self._whole_plan: UserPlan | None = None  # the same, also when the run is stopping
        self._start_ns = 0
        self._wave = 0
        self._replanned_ns = 0
        self._stopping = False
        self._quitting = False

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
        except StoreError as exc:  # a worker that cannot be noted is not welcomed; it will say hello again
            self._note_trouble(exc)

    def try_to_store(self, write: Callable[[], None]) -> None:
        """Write something that is good to have in the file, but not worth the run."""
        try:
            write()
        except StoreError as exc:
            self._note_trouble(exc)

    def _note_trouble(self, error: StoreError) -> None:
        """The store cannot write: nothing is acknowledged, workers keep what they have, we try again."""
        if self.store_trouble != error.message:
            self.store_trouble = error.message
            self.events.append(StoreTrouble(error.message))

    def _on_message(self, peer: bytes, header: Header, body: bytes, now_ns: int) -> None:
        if header.type is MessageType.HELLO:
            self._on_hello(peer, header, decode_map(body), now_ns)
            return
        member = self._by_peer.get(peer)
        if member is None or member.uid != header.worker_uid or header.run_id != self.run_id:
            self.rejected["stranger"] += 1
            if member is None and header.run_id == self.run_id:
                self._send_to(peer, header.worker_uid, MessageType.RESYNC, {}, now_ns)
            return
        is_newest = header.t_ns >= member.their_t_ns
        self._hear(member, header, now_ns)
        if header.type is MessageType.DELTA:
            self._on_delta(member, header.seq, body)
        elif header.type is MessageType.HEARTBEAT:
            if is_newest and header.ack >= member.last_command:  # else it does not yet know what it is to do
                self._on_heartbeat(member, decode_map(body))
        else:
            self._on_control(member, header.type, decode_map(body))

    def _hear(self, member: Member, header: Header, now_ns: int) -> None:
        member.heard_ns, member.their_t_ns = now_ns, max(member.their_t_ns, header.t_ns)
        member.applied = max(member.applied, header.ack)
        while member.commands and member.commands[0][0] <= header.ack:
            member.commands.popleft()
        if member.state is MemberState.LOST and not member.gone:
            member.stop_told = False
            member.reason = ""  # its lease was out, so its users have ended
            self._move(member, MemberEvent.RETURNED)

    def _on_hello(self, peer: bytes, header: Header, body: dict[str, Any], now_ns: int) -> None:
        if header.run_id not in (bytes(UID_BYTES), self.run_id):
            text = "this master runs another run than the one this worker belongs to"
            self._send_to(peer, header.worker_uid, MessageType.REJECT, {"code": "LG308", "text": text}, now_ns)
            return
        member = self.members.get(header.worker_uid)
        if member is None and self._quitting:
            return  # the run is over: it goes on saying hello, to whoever is master next
        if member is None:
            member = self._new_member(peer, header.worker_uid, body)
        if member.silent:
            self._recognise(member, header, body)
        self._by_peer.pop(member.peer, None)
        self._by_peer[peer] = member
        member.peer = peer
        self._hear(member, header, now_ns)
        self._send_welcome(member, now_ns)

    def _new_member(self, peer: bytes, uid: bytes, body: dict[str, Any]) -> Member:
        index = len(self.members)
        member = Member(uid, f"w{index + 1}", index, peer)
        member.host, member.pid = str(body.get("host", ""))[:256], _whole(body.get("pid"))
        self._store.save_members([MemberRecord(uid, member.id, index)])
        self.members[uid] = member
        self.ledger.join(member.id)
        self.events.append(MemberChanged(member.id, member.state))
        return member

    def _send_welcome(self, member: Member, now_ns: int) -> None:
        welcome = {
            "worker": member.id,
            "index": member.index,
            "epoch": self.epoch,
            "settings": self._settings | {"bundle": self.supplies.bundle_for(member.uid)},
            "start_ns": self._start_ns,
            "heartbeat_s": HEARTBEAT_S,
            "lease_s": self.lease_s,
        }
        self._send(member, MessageType.WELCOME, welcome, now_ns)

    def _recognise(self, member: Member, header: Header, body: dict[str, Any]) -> None:
        """A worker of the master's earlier life: what it does now is what it says."""
        held = self._reported_users(body.get("shares"))
        wave = _whole(body.get("wave", 0))
        if header.ack > _MAX_NUMBER or wave > _MAX_NUMBER:
            raise Malformed("hello: a number that no run reaches")
        member.state = _STATES_OF_AGENTS.get(str(body.get("state")), MemberState.JOINED)
        member.silent = False
        member.last_command = member.applied = header.ack
        member.held, member.wanted = held, set(held)
        self._wave = max(self._wave, wave + 1)
        self.events.append(MemberChanged(member.id, member.state))

    def _reported_users(self, rows: object) -> set[UserKey]:
        """The users that a worker says it runs. Raises Malformed if they are none of the plan's."""
        plan = self._whole_plan
        if not isinstance(rows, list) or (rows and plan is None):
            raise Malformed("hello: shares are no list, or of no plan")
        shares = [Share.from_wire(row, plan) for row in rows if plan is not None]
        if plan is not None and sum(share.count for share in shares) > plan.users:
            raise Malformed("hello: more users than the plan has")
        return users_of(shares)

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
        elif kind is MessageType.CUSTOM:
            self.events.append(CustomMessage(member.id, str(body.get("type", "")), body.get("data")))
        elif kind is MessageType.BUNDLE_WANTED:
            self.supplies.sender.want(member.peer, body)
        elif kind is MessageType.ROWS_WANTED:
            self._on_rows_wanted(member, body)
        elif kind is MessageType.ASK_STOP:
            self.events.append(StopAsked(member.id))
        elif kind is MessageType.BYE:
            self.supplies.left(member.id, body.get("rows_used"))
            self._move(member, MemberEvent.LEFT, str(body.get("reason", "")))

    def _on_rows_wanted(self, member: Member, body: dict[str, Any]) -> None:
        wanted = Wanted.from_wire(body)
        grant = self.supplies.rows.want(member.id, wanted)
        if grant is not None:
            self._store.save_blob(ROWS_BLOB, encode(self.supplies.rows.dump()))  # before the worker can use them
            answer = {"source": wanted.source, "number": wanted.number, **grant.to_wire()}
            self._send(member, MessageType.ROWS_GRANTED, answer, member.heard_ns)

    def _on_heartbeat(self, member: Member, body: dict[str, Any]) -> None:
        state = body.get("state")
        member.leaving = state in ("stopping", "flushing") and member.state is MemberState.RUNNING
        if not member.leaving:
            member.note_users(_whole(body.get("users", 0)), _whole(body.get("surplus", 0)))
        if state == IDLE and not member.idle:
            member.idle = True
            self.events.append(MemberChanged(member.id, member.state))
        member.deaf = body.get("deaf") is True
        if state == SUSPENDED:  # it did not hear us for longer than its lease, and ended its users
            self._empty_hands(member)

    # -- commands

    def assign(self, plan: UserPlan, start_ns: int, now_ns: int) -> None:
        """Share the plan out over the members that are ready; from here on keep it shared out."""
        self._plan, self._start_ns = plan, start_ns
        self._whole_plan = plan
        ready = [member for member in self.members.values() if member.state is MemberState.READY]
        shares = assign(plan, [member.id for member in ready])
        self._tell_holdings(plan, {worker: users_of(its) for worker, its in shares.items()}, now_ns)

    def resume(self, plan: UserPlan, start_ns: int, known: list[tuple[bytes, str, int]], now_ns: int) -> None:
        """Go on with a run of an earlier master; `known` are its workers (uid, id, index), not heard of yet."""
        self._plan, self._start_ns = plan, start_ns
        self._whole_plan = plan
        for uid, worker, index in known:
            member = Member(uid, worker, index, peer=b"", state=MemberState.RUNNING, heard_ns=now_ns, silent=True)
            self.members[uid] = member
            self.ledger.join(worker)

    def stop(self, timeout_s: float, now_ns: int) -> None:
        """End every user: gracefully, and by force after `timeout_s`."""
        self._plan, self._stopping = None, True
        for member in self._expected():
            if not member.silent:
                self._tell_stop(member, timeout_s, now_ns)

    def quit(self, now_ns: int) -> None:
        """Send everybody away."""
        self._plan, self._quitting = None, True
        for member in self.members.values():
            if member.is_reachable:
                self._command(member, MessageType.QUIT, {}, now_ns)

    def lose(self, uid: bytes, reason: str) -> None:
        """This worker is certainly gone: its process ended."""
        member = self.members.get(uid)
        if member is not None:
            member.gone, member.silent = True, False
            self._lose(member, reason)

    def lose_unsettled(self, reason: str) -> None:
        for member in self._expected():
            self._lose(member, reason)

    def _lose(self, member: Member, reason: str) -> None:
        if self._move(member, MemberEvent.LOST, reason):
            self._empty_hands(member)
            self.supplies.gone(member.id, member.peer)

    def _empty_hands(self, member: Member) -> None:
        """It runs nobody now, and what it was told to run but may not have heard is void.

        The numbers stay: a command that is repeated to it later says that there is nobody to run.
        """
        member.held, member.wanted = set(), set()
        for place, (number, kind, body, sent_ns) in enumerate(member.commands):
            if kind is MessageType.ASSIGN:
                member.commands[place] = (number, kind, {**body, "shares": []}, sent_ns)

    def _tell_stop(self, member: Member, timeout_s: float, now_ns: int) -> None:
        member.stop_told = member.state is not MemberState.JOINED
        self._command(member, MessageType.STOP, {"timeout_s": timeout_s}, now_ns)
        self._move(member, MemberEvent.STOPPED)

    def _tell_holdings(self, plan: UserPlan, wanted: Holdings, now_ns: int) -> None:
        """Assign to each worker named in `wanted` exactly these users."""
        by_id = {member.id: member for member in self.members.values()}
        for worker, users in wanted.items():
            member = by_id[worker]
            body = {
                "plan": plan.to_wire(),
                "shares": [share.to_wire() for share in to_shares(users)],
                "start_ns": self._start_ns,
                "wave": self._wave,
                "rate_per_s": plan.spawn_rate_per_s / len(wanted),
            }
            self._command(member, MessageType.ASSIGN, body, now_ns)
            member.wanted, member.idle = set(users), False
            member.held |= users
            self._move(member, MemberEvent.ASSIGNED)
        self._wave += 1

    def send_custom(self, kind: str, data: object, worker: str | None, now_ns: int) -> None:
        """Pass a message of the scenario on to one worker, or to all."""
        for member in self.members.values():
            if member.is_reachable and worker in (None, member.id):
                self._send(member, MessageType.CUSTOM, {"type": kind, "data": data}, now_ns)

    # -- time

    def on_tick(self, now_ns: int) -> None:
        """Commit what was applied, acknowledge it, repeat commands, show that we live, re-plan."""
        if self._dirty and now_ns - self._committed_ns >= COMMIT_EVERY_S * 1e9:
            self._commit(now_ns)
        for member in self.members.values():
            if self.lease_s is not None and not member.is_settled:
                self._check_lease(member, now_ns)
            if member.is_reachable and not member.silent:
                self._keep_in_touch(member, now_ns)
        for peer, chunk in self.supplies.sender.due(now_ns):
            member_uid = self._by_peer[peer].uid if peer in self._by_peer else bytes(UID_BYTES)
            header = Header(MessageType.BUNDLE_CHUNK, member_uid, self.run_id, 0, 0, now_ns)
            self.outgoing.append((peer, encode_header(header), chunk))
        if self._plan is not None and now_ns - self._replanned_ns >= REPLAN_EVERY_S * 1e9:
            self._replanned_ns = now_ns
            self._replan(self._plan, now_ns)

    def _check_lease(self, member: Member, now_ns: int) -> None:
        silent_s = (now_ns - member.heard_ns) / 1e9
        if self.lease_s is not None and silent_s > self.lease_s * LEASE_SLACK + LEASE_EXTRA_S:
            member.silent = False
            self._lose(member, f"no sign of life for {silent_s:.0f} s, longer than its lease")

    def _keep_in_touch(self, member: Member, now_ns: int) -> None:
        if self._stopping and not member.stop_told and member.state is not MemberState.JOINED:
            self._tell_stop(member, 0.0, now_ns)  # it came, or came back, too late
        for place, (number, kind, body, sent_ns) in enumerate(member.commands):
            if now_ns - sent_ns >= COMMAND_AGAIN_S * 1e9:
                member.commands[place] = (number, kind, body, now_ns)
                self._send(member, kind, body, now_ns, seq=number)
        if now_ns - member.heartbeat_sent_ns >= HEARTBEAT_S * 1e9:
            self._send_heartbeat(member, now_ns)

    def _replan(self, plan: UserPlan, now_ns: int) -> None:
        """Give every user a worker again, unless the plan is over anyway."""
        if plan.duration_s is not None and now_ns >= self._start_ns + int(plan.duration_s * 1e9):
            return
        wanted = replan(plan, list(self.members.values()))
        if wanted:
            self._tell_holdings(plan, wanted, now_ns)

    def _commit(self, now_ns: int) -> None:
        self._committed_ns = now_ns
        try:
            acknowledged = self.ledger.commit(self._store)
        except StoreError as exc:
            self._note_trouble(exc)
            return
        self._dirty, self.store_trouble = False, ""
        for member in self.members.values():
            member.committed_seq = acknowledged.get(member.id, member.committed_seq)
            if member.id in acknowledged and member.is_reachable:
                self._send_heartbeat(member, now_ns)
            if self.ledger.report(member.id).final and self._move(member, MemberEvent.FINAL):
                member.held, member.wanted, member.silent = set(), set(), False

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
        body = {**body, "epoch": self.epoch}
        member.commands.append((member.last_command, kind, body, now_ns))
        self._send(member, kind, body, now_ns, seq=member.last_command)

    def _send_heartbeat(self, member: Member, now_ns: int) -> None:
        member.heartbeat_sent_ns = now_ns
        body = {"echo_ns": member.their_t_ns, "received_ns": member.heard_ns}
        self._send(member, MessageType.HEARTBEAT, body, now_ns)

    def _send(self, member: Member, kind: MessageType, body: dict[str, Any], now_ns: int, seq: int = 0) -> None:
        if not member.peer:
            return  # known from the run's file, not heard of yet
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
        self.supplies.sender.could_not_send(peer)
        member = self._by_peer.get(peer)
        self.slow[member.id if member else "stranger"] += 1


_STATES_OF_AGENTS = {
    "loading": MemberState.JOINED,
    "failed": MemberState.JOINED,  # it will say again why
    "ready": MemberState.READY,
    "running": MemberState.RUNNING,
    "stopping": MemberState.STOPPING,
    "flushing": MemberState.STOPPING,
}


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

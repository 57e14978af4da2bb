"""One worker as the master sees it, and the states it goes through.

::

    state     event          next       meaning of the state
    JOINED    ready          READY      welcomed, imports the scenario
              failed         FAILED
    READY     assigned       RUNNING    waits for an assignment
              stopped        STOPPING
    RUNNING   assigned       RUNNING    users run
              stopped        STOPPING
              final          FINAL      its plan was over before we said stop, or it drains
    STOPPING  final          FINAL      its users finish
    FINAL     left           LEFT       everything it measured is committed
    FAILED    left           LEFT       it could not import the scenario
    LOST      returned       READY      silent for longer than its lease, or its process ended
              final          FINAL      what it still had has arrived
    JOINED, READY, RUNNING, STOPPING:  lost → LOST, left → LOST (it went without its final delta)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from loadgen.plan import UserKey
from loadgen.wire.messages import MessageType


class MemberState(Enum):
    JOINED = "joined"
    READY = "ready"
    RUNNING = "running"
    STOPPING = "stopping"
    FINAL = "final"
    FAILED = "failed"
    LOST = "lost"
    LEFT = "left"


class MemberEvent(Enum):
    READY = "ready"
    FAILED = "failed"
    ASSIGNED = "assigned"
    STOPPED = "stopped"
    FINAL = "final"
    LOST = "lost"
    LEFT = "left"
    RETURNED = "returned"


_S, _E = MemberState, MemberEvent
_TRANSITIONS: dict[tuple[MemberState, MemberEvent], MemberState] = {
    (_S.JOINED, _E.READY): _S.READY,
    (_S.JOINED, _E.FAILED): _S.FAILED,
    (_S.READY, _E.ASSIGNED): _S.RUNNING,
    (_S.READY, _E.STOPPED): _S.STOPPING,
    (_S.RUNNING, _E.ASSIGNED): _S.RUNNING,
    (_S.RUNNING, _E.STOPPED): _S.STOPPING,
    (_S.RUNNING, _E.FINAL): _S.FINAL,
    (_S.STOPPING, _E.FINAL): _S.FINAL,
    (_S.FINAL, _E.LEFT): _S.LEFT,
    (_S.FAILED, _E.LEFT): _S.LEFT,
    (_S.LOST, _E.RETURNED): _S.READY,
    (_S.LOST, _E.FINAL): _S.FINAL,
    **{
        (state, event): _S.LOST
        for state in (_S.JOINED, _S.READY, _S.RUNNING, _S.STOPPING)
        for event in (_E.LOST, _E.LEFT)
    },
}


def transition(state: MemberState, event: MemberEvent) -> MemberState | None:
    """The next state, or None where the event means nothing in this state."""
    return _TRANSITIONS.get((state, event))


@dataclass(slots=True)
class Member:
    """One worker process (= one uid). `peer` is its present connection."""

    uid: bytes
    id: str
    index: int
    peer: bytes
    state: MemberState = MemberState.JOINED
    host: str = ""
    pid: int = 0
    heard_ns: int = 0  # our clock
    heartbeat_sent_ns: int = 0
    their_t_ns: int = 0  # its clock, in the newest frame, to be echoed
    committed_seq: int = 0
    users: int = 0  # as it last said, together with the command it had applied by then
    applied: int = 0  # the last command it is known to have applied
    idle: bool = False  # running, but every user has ended by itself
    deaf: bool = False  # it speaks, but does not hear us: its lease is out
    gone: bool = False  # its process is known to have ended: it cannot return
    wanted: set[UserKey] = field(default_factory=set)  # the users it is to run
    held: set[UserKey] = field(default_factory=set)  # all that it may be running: wanted, and not yet released
    leaving: bool = False  # it drains: it takes nobody any more
    stop_told: bool = False  # it was sent a STOP since it was last ready to run
    silent: bool = False  # after a restart of the master: not heard of yet
    reason: str = ""  # why it is lost or failed
    classes: tuple[tuple[str, float, int], ...] = ()
    commands: deque[tuple[int, MessageType, dict[str, Any], int]] = field(default_factory=deque)
    last_command: int = 0

    def move(self, event: MemberEvent) -> bool:
        following = transition(self.state, event)
        if following is None:
            return False
        self.state = following
        return True

    @property
    def is_settled(self) -> bool:
        """Nothing more is expected from it."""
        return self.state in (MemberState.FINAL, MemberState.FAILED, MemberState.LOST, MemberState.LEFT)

    @property
    def can_run(self) -> bool:
        """Whether users may be assigned to it."""
        return self.state in (MemberState.READY, MemberState.RUNNING) and not self.deaf and not self.leaving

    def note_users(self, users: int, surplus: int) -> None:
        """It says, knowing all that it was told, how many it runs and how many of them it is not to run any more.

        The count alone would not do: as many may be about to start as have not yet ended.
        """
        self.users = users
        if not surplus:
            self.held = set(self.wanted)

    @property
    def is_reachable(self) -> bool:
        return self.state not in (MemberState.LOST, MemberState.LEFT)

"""Where a worker's agent can be, and what takes it from one place to another.

::

    state     event                  next       what happens
    JOINING   WELCOME                LOADING    import the scenario
              REJECTED, DRAIN        DONE
    LOADING,  REJECTED               DONE       the master is another one now, and we hold nothing of its run
    READY,
    FAILED
    LOADING   LOADED                 READY      say which classes there are
              LOAD_FAILED            FAILED     say why
              DRAIN                  DONE
    READY     ASSIGNED               RUNNING    start the users, seal a delta each second
              STOPPED                FLUSHING   nothing ran: an empty final delta
              DRAIN                  DONE
    RUNNING   ASSIGNED               RUNNING    other users: start and end what differs
              STOPPED, DRAIN         STOPPING   users finish their task, or are ended after the timeout
              USERS_GONE             FLUSHING   the plan is over: seal the final delta
    STOPPING  USERS_GONE             FLUSHING
              STOPPED, DRAIN         STOPPING   again, with a shorter timeout
    FLUSHING  DELIVERED              DONE       the master has everything, and we were asked to leave
              STOPPED, DRAIN         FLUSHING
    FAILED    DRAIN                  DONE
    any       QUIT                   DONE       the master has everything it wants
    any       GAVE_UP                DONE       no master for too long: what it lacks is in a file
"""

from __future__ import annotations

from enum import Enum


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
    DELIVERED = "delivered"
    DRAIN = "drain"
    QUIT = "quit"
    GAVE_UP = "gave up"


_S, _E = AgentState, AgentEvent
_TRANSITIONS: dict[tuple[AgentState, AgentEvent], AgentState] = {
    (_S.JOINING, _E.WELCOME): _S.LOADING,
    (_S.LOADING, _E.LOADED): _S.READY,
    (_S.LOADING, _E.LOAD_FAILED): _S.FAILED,
    (_S.READY, _E.ASSIGNED): _S.RUNNING,
    (_S.READY, _E.STOPPED): _S.FLUSHING,
    (_S.RUNNING, _E.ASSIGNED): _S.RUNNING,
    (_S.RUNNING, _E.STOPPED): _S.STOPPING,
    (_S.RUNNING, _E.DRAIN): _S.STOPPING,
    (_S.RUNNING, _E.USERS_GONE): _S.FLUSHING,
    (_S.STOPPING, _E.STOPPED): _S.STOPPING,
    (_S.STOPPING, _E.DRAIN): _S.STOPPING,
    (_S.STOPPING, _E.USERS_GONE): _S.FLUSHING,
    (_S.FLUSHING, _E.STOPPED): _S.FLUSHING,
    (_S.FLUSHING, _E.DRAIN): _S.FLUSHING,
    (_S.FLUSHING, _E.DELIVERED): _S.DONE,
    **{(state, _E.DRAIN): _S.DONE for state in (_S.JOINING, _S.LOADING, _S.READY, _S.FAILED)},
    **{(state, _E.REJECTED): _S.DONE for state in (_S.JOINING, _S.LOADING, _S.READY, _S.FAILED)},
    **{(state, event): _S.DONE for state in AgentState for event in (_E.QUIT, _E.GAVE_UP)},
}


def transition(state: AgentState, event: AgentEvent) -> AgentState | None:
    """The next state, or None where the event means nothing in this state."""
    return _TRANSITIONS.get((state, event))

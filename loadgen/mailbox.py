"""Messages that scenarios of master and workers send each other: who listens, and how they are called."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent

if TYPE_CHECKING:
    from loadgen.environment import Environment
    from loadgen.runner import MessageListener


class ScenarioMessage(NamedTuple):
    """What a listener gets as `msg`."""

    type: str
    data: Any
    node_id: str  # the worker that sent it, or "master"


class Mailbox:
    """The listeners of one process, by message type."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[MessageListener]] = {}

    def register(self, type_: str, listener: MessageListener) -> None:
        self._listeners.setdefault(type_, []).append(listener)

    def deliver(self, message: ScenarioMessage, environment: Environment) -> None:
        """Call every listener of the type, each in a greenlet of its own, so that none holds up the sender."""
        for listener in self._listeners.get(message.type, ()):
            gevent.spawn(_call, listener, message, environment)


def _call(listener: MessageListener, message: ScenarioMessage, environment: Environment) -> None:
    try:
        listener(environment=environment, msg=message)
    except Exception:
        logging.getLogger("loadgen").exception("a listener for %r messages failed", message.type)

"""What the tests of the scenario API share: an environment of their own, and users run to their end."""

from __future__ import annotations

from typing import Any, TypeVar

import gevent

from loadgen.environment import Environment
from loadgen.hooks import Events
from loadgen.metrics.recorder import Recorder
from loadgen.runner import MessageListener, Runner
from loadgen.users import User

U = TypeVar("U", bound=User)


class Backend:
    """A runner's backend that only notes what was asked of it."""

    def __init__(self) -> None:
        self.quits = 0
        self.sent: list[tuple[str, Any, str | None]] = []
        self.listeners: list[tuple[str, MessageListener]] = []

    def quit(self) -> None:
        self.quits += 1

    def user_count(self) -> int:
        return 3

    def target_user_count(self) -> int:
        return 4

    def target_user_classes_count(self) -> dict[str, int]:
        return {"Shopper": 4}

    def state(self) -> str:
        return "running"

    def worker_count(self) -> int:
        return 2

    def worker_index(self) -> int:
        return 1

    def send_message(self, type_: str, data: Any, client_id: str | None) -> None:
        self.sent.append((type_, data, client_id))

    def register_message(self, type_: str, listener: MessageListener) -> None:
        self.listeners.append((type_, listener))


def make_environment(*, backend: Backend | None = None, **kwargs: Any) -> Environment:
    """An environment with its own events and recorder, and a runner that notes what it is asked."""
    kwargs.setdefault("events", Events())
    environment = Environment(**kwargs)
    environment.runner = Runner(environment, backend if backend is not None else Backend())
    return environment


def live(user_class: type[U], environment: Environment | None = None) -> U:
    """Run one user in this greenlet until it ends, and return it. Its tasks must end it."""
    user = user_class(environment if environment is not None else make_environment())
    user.run()
    return user


def spawn(user: User) -> gevent.Greenlet[..., Any]:
    """Start a user as the swarm does."""
    user.greenlet = gevent.spawn(user.run)
    return user.greenlet


def turns(count: int = 5) -> None:
    """Let the hub run a few times."""
    for _ in range(count):
        gevent.sleep(0)


def is_closed(recorder: Recorder) -> bool:
    """Do the books close with nothing in flight?"""
    books = recorder.books
    return books.started == books.ok + books.failed + books.cancelled

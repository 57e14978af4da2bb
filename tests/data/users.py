"""Users whose only work is to take rows, and masters to take them from."""

from __future__ import annotations

import random
from typing import Any

import gevent

from loadgen import User, task
from loadgen.data import DataSource
from loadgen.data_port import Grant, Place, Wanted, attach
from loadgen.environment import Environment
from loadgen.master.rows import RowLeases
from loadgen.users import UserIdentity
from tests.scenario_api.helpers import make_environment


class Idle(User):
    @task
    def nothing(self) -> None: ...


def make_user(environment: Environment | None = None, ordinal: int = 0) -> Idle:
    user = Idle(environment if environment is not None else make_environment())
    user.identity = UserIdentity("Idle", ordinal)
    return user


def worker_environment(worker: int, workers: int, leases: RowLeases | None = None, **kwargs: Any) -> Environment:
    """The environment of worker `worker` of `workers`."""
    environment = make_environment(**kwargs)
    attach(environment, Port(leases or RowLeases(), f"w{worker + 1}", Place(worker, workers)))
    return environment


def take(source: DataSource, user: User, count: int) -> list[Any]:
    return [source.next(user) for _ in range(count)]


class Port:
    """The port of a worker over a network that answers late, repeats old requests, and loses some with a `chance`."""

    def __init__(self, leases: RowLeases, name: str, place: Place, chance: random.Random | None = None) -> None:
        self.asked: list[Wanted] = []
        self._leases = leases
        self._name = name
        self._place = place
        self._chance = chance

    def want(self, wanted: Wanted) -> Grant:
        self.asked.append(wanted)
        while True:
            for _ in range(self._chance.randrange(4) if self._chance else 1):
                gevent.sleep(0)
            if self._chance and self._chance.random() < 0.3:
                self._leases.want(self._name, self._chance.choice(self.asked))
            grant = self._leases.want(self._name, wanted)
            assert grant is not None
            if not self._chance or self._chance.random() < 0.7:
                return grant

    def place(self) -> Place:
        return self._place

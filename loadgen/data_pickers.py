"""Which row a user gets next: one picker per source, process and strategy.

::

    random     any row, drawn with the user's own generator: with the same seed the same, on any number of workers
    circular   the rows in order, over and over; worker i of n begins i/n of the way through them
    shard      worker i of n has the rows i, i + n, i + 2n, …, each once
    unique     see loadgen.data_feed
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from loadgen.data_ending import Ending
from loadgen.data_port import OnEnd, Place
from loadgen.errors import ScenarioError

if TYPE_CHECKING:
    from loadgen.users import User


class Strategy(StrEnum):
    """How users share the rows of a source."""

    RANDOM = "random"
    CIRCULAR = "circular"
    UNIQUE = "unique"
    SHARD = "shard"

    @property
    def has_end(self) -> bool:
        """Are the rows used up at some time?"""
        return self in (Strategy.UNIQUE, Strategy.SHARD)


class Picker(Protocol):
    """Gives users the numbers of their rows."""

    def take(self, user: User) -> int:
        """The number of this user's next row, from 0."""
        ...


class RandomPicker:
    """Any row, each as likely as the other, and the same one twice if it so happens."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def take(self, user: User) -> int:
        return (user.draw() >> 11) * self._rows >> 53  # the 53 high bits are the good ones


class CircularPicker:
    """One row after another for whoever asks, and after the last the first."""

    def __init__(self, rows: int, place: Place) -> None:
        self._rows = rows
        self._next = place.worker % place.workers * rows // place.workers

    def take(self, user: User) -> int:
        index = self._next
        self._next = (index + 1) % self._rows
        return index


class ShardPicker:
    """This worker's part of the rows, each once per lap."""

    def __init__(self, label: str, rows: int, place: Place, on_end: OnEnd) -> None:
        if place.worker >= place.workers:
            raise ScenarioError(
                f"{label} was shared out to {place.workers} workers before this one came",
                code="LG705",
                hints=('With  strategy="unique"  workers may come and go.',),
            )
        self._mine = range(place.worker, rows, place.workers)
        self._on_end = on_end if self._mine else _without_rows(on_end)
        self._ending = Ending(label, len(self._mine))
        self._used = 0

    def take(self, user: User) -> int:
        if self._used == len(self._mine):
            self._at_end(user)
        self._used += 1
        return self._mine[self._used - 1]

    def _at_end(self, user: User) -> None:
        if self._on_end is OnEnd.STOP:
            self._ending.stop(user)
        if self._on_end is OnEnd.WAIT:
            self._ending.wait_for_ever(user)
        self._ending.recycled(user)
        self._used = 0


def _without_rows(on_end: OnEnd) -> OnEnd:
    """With more workers than rows some have none, and nothing to start over with."""
    return OnEnd.STOP if on_end is OnEnd.RECYCLE else on_end

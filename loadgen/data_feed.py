"""Unique rows in a worker: leased in batches, asked for before they run out.

As long as every user took one row only, the feed asks for exactly as many as users wait for: whoever
gives each user a row in on_start needs no more rows than users. From the first user that takes a
second one on it asks ahead, and for twice as many each time a user had to wait nevertheless.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakSet

import gevent
from gevent.event import Event

from loadgen.data_ending import LOOK_AGAIN_S, Ending, Waiting
from loadgen.data_port import MAX_BATCH, Grant, OnEnd, RowPort, Wanted
from loadgen.errors import ScenarioError
from loadgen.flow import StopUser

if TYPE_CHECKING:
    from loadgen.users import User

FIRST_AHEAD = 16  # rows
MOST_AHEAD = 4_096


class Feed:
    """The unique rows of one source in one process. `used` of them went to users so far."""

    def __init__(self, port: RowPort, source: str, label: str, rows: int, on_end: OnEnd) -> None:
        self.source = source
        self.used = 0
        self._port = port
        self._label = label
        self._rows = rows
        self._on_end = on_end
        self._ending = Ending(label, rows)
        self._ready: deque[int] = deque()
        self._once: WeakSet[User] | None = WeakSet()  # users with one row; None: some user took a second one
        self._ahead = 0
        self._number = 0
        self._waiting = 0
        self._asking = False
        self._end: OnEnd | None = None
        self._recycled = 0  # laps that no user has been told of
        self._fault: BaseException | None = None
        self._answered = Event()

    def take(self, user: User) -> int:
        """A row that nobody else has. Blocks while none is here; StopUser, or waiting, at the end of the rows."""
        if self._once is not None:
            self._look_for_repeat(user, self._once)
        if not self._ready:
            self._wait(user)
        index = self._ready.popleft()
        self.used += 1
        if self._recycled:
            self._recycled -= 1
            self._ending.recycled(user)
        if self._ahead and len(self._ready) <= self._ahead // 2 and self._end is None:
            self._ask()
        return index

    def _look_for_repeat(self, user: User, once: WeakSet[User]) -> None:
        if user in once:
            self._once, self._ahead = None, FIRST_AHEAD
        else:
            once.add(user)

    def _wait(self, user: User) -> None:
        self._ahead = min(self._ahead * 2, MOST_AHEAD)
        self._waiting += 1
        try:
            while not self._ready:
                if self._end is OnEnd.STOP:
                    self._ending.stop(user)
                if user.stopping:
                    raise StopUser
                if self._end is OnEnd.WAIT:
                    self._ending.waits(user)
                self._ask()
                with Waiting(user):
                    self._answered.wait(LOOK_AGAIN_S)
                if self._fault is not None:
                    raise self._fault.with_traceback(None)
        finally:
            self._waiting -= 1

    def _ask(self) -> None:
        """Have the port asked, unless it is being asked: at most one request of a source is under way."""
        if not self._asking:
            self._asking, self._fault = True, None
            gevent.spawn(self._fill)

    def _fill(self) -> None:
        """Ask once. In a greenlet of its own, so that a user that is ended takes no rows along."""
        try:
            self._request()
            if self._end is OnEnd.WAIT:
                self._wake()
                gevent.sleep(LOOK_AGAIN_S)  # nobody asks meanwhile
        except Exception as exc:  # noqa: BLE001 - the top of a greenlet: those who wait raise it in its place
            self._fault = exc
        finally:
            self._asking = False
            self._wake()

    def _request(self) -> None:
        """One request and its answer, unless there are rows enough by now."""
        needed = max(0, self._waiting - len(self._ready))
        ahead = max(0, self._ahead - len(self._ready))
        if not needed + ahead or self._end is OnEnd.STOP:
            return
        self._number += 1
        count = min(needed, MAX_BATCH)
        self._accept(
            self._port.want(
                Wanted(self.source, self._rows, self._on_end, self._number, count, min(ahead, MAX_BATCH), self.used)
            )
        )

    def _wake(self) -> None:
        """Let those look who wait now; who waits from now on waits for the next answer."""
        answered, self._answered = self._answered, Event()
        answered.set()

    def _accept(self, grant: Grant) -> None:
        if grant.refused:
            raise ScenarioError(
                f"the master gives this worker no rows of {self._label}: {grant.refused}",
                code="LG705",
                hints=("Every worker must read the same file.",),
            )
        for first, count in grant.ranges:
            if first + count > self._rows:
                raise ScenarioError(f"{self._label} has no row {first + count:,}: the file changed", code="LG705")
            self._ready.extend(range(first, first + count))
        self._recycled += grant.end is OnEnd.RECYCLE
        self._end = grant.end if grant.end is not OnEnd.RECYCLE else None

"""What a user meets where the rows of a source end, and what is said about it, once.

::

    LG711  users end for want of rows      LG712  the rows start over      LG713  users wait for rows
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import gevent

from loadgen.flow import StopUser

if TYPE_CHECKING:
    from loadgen.users import User

LOOK_AGAIN_S = 1.0  # how often one looks for rows that came back


class Ending:
    """The end of the rows of one source in one process."""

    def __init__(self, label: str, rows: int) -> None:
        self._label = label
        self._rows = f"its {rows:,} rows" if rows > 1 else "its only row"

    def stop(self, user: User) -> NoReturn:
        """The user ends."""
        self._say(user, f'LG711 {self._label}: {self._rows} were used up; users that want another end (on_end="stop")')
        raise StopUser

    def recycled(self, user: User) -> None:
        """The rows start over: counted and said, nothing else."""
        self._say(user, f'LG712 {self._label}: {self._rows} were used up and start over (on_end="recycle")')
        user.count(f"{self._label}: times started over")

    def waits(self, user: User) -> None:
        """Say that users wait from now on."""
        self._say(user, f'LG713 {self._label}: {self._rows} were used up; users wait for rows (on_end="wait")')

    def wait_for_ever(self, user: User) -> NoReturn:
        """No row will come back: the user waits until it is stopped."""
        self.waits(user)
        while not user.stopping:
            with Waiting(user):
                gevent.sleep(LOOK_AGAIN_S)
        raise StopUser

    def _say(self, user: User, text: str) -> None:
        user.environment.recorder.warn(text)


class Waiting:
    """While a user waits for a row it has nothing to finish, so a request to stop may end it at once."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._marks = user.greenlet is not None and user.greenlet is gevent.getcurrent() and not user.waiting

    def __enter__(self) -> None:
        if self._marks:
            self._user.waiting = True

    def __exit__(self, *_: object) -> None:
        if self._marks:
            self._user.waiting = False
        self._user.has_yielded = True

"""Virtual users: what one simulated person or client does.

A scenario subclasses User (or HttpUser) and adds tasks. One user lives in one greenlet:
`run()` = on_start → tasks with waits between them → on_stop. What is the same for all users of a
class stands on the class, so that a user without a client costs a few hundred bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, final

import gevent
from gevent import GreenletExit

from loadgen.errors import ConfigError
from loadgen.flow import StopTest, StopUser
from loadgen.identity import UserIdentity as UserIdentity
from loadgen.identity import following, state_for
from loadgen.iterating import FAULTS, FLOW, drive, leave
from loadgen.measuring import Measurement
from loadgen.pacing import constant
from loadgen.weighting import Task, builtin, gather, pairs

if TYPE_CHECKING:
    from gevent.pool import Group

    from loadgen.environment import Environment
    from loadgen.http.client import HttpClient
    from loadgen.http.tls import ClientCert, FilePath


class UserState(Enum):
    """Where a user is. STOPPING never goes back."""

    RUNNING = "running"  # not yet started, or in on_start, a task or on_stop
    WAITING = "waiting"  # between two tasks
    STOPPING = "stopping"  # asked to stop


class User:
    """A virtual user. Class attributes say what it is, methods what it does.

    Subclasses that define __init__ must call super().__init__(environment).
    """

    host: str | None = None  # base URL; --host wins over it
    wait_time: Any = constant(0)
    tasks: Any = []
    weight: float = 1  # its share of the users, relative to other classes
    fixed_count: int = 0  # if above 0: exactly so many, whatever the weight
    abstract: ClassVar[bool] = True  # only a base for other classes; not inherited
    written: ClassVar[frozenset[str]] = frozenset()  # names in the class's own body

    identity: UserIdentity = UserIdentity("", 0)  # set right after construction
    greenlet: gevent.Greenlet[..., Any] | None = None
    wait_us: int = 0  # how late this iteration started
    iteration_failed: bool = False  # a request of this iteration failed
    has_yielded: bool = False  # the hub has run since the last task
    stopping: bool = False
    waiting: bool = False
    choice: int = 0  # state of the generator for tasks and waits; 0: not seeded yet
    started_ns: int | None = None  # start of this iteration, for paced users only
    due_ns: int | None = None  # intended start of the next one
    queued: deque[Task] | None = None
    abandoned: bool = False  # on_start failed, so on_stop does not run
    _rng: Random | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.written = frozenset(vars(cls))
        cls.tasks = gather(cls.__bases__, vars(cls), keep_place=False)
        if "abstract" not in vars(cls):
            cls.abstract = False

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        if environment.host:
            self.host = environment.host

    def on_start(self) -> None:
        """Called once before the first task. If it raises, the user ends there."""

    def on_stop(self) -> None:
        """Called once when the user ends, however it ends, unless on_start failed."""

    @final
    def run(self) -> None:
        """The life of the user; the body of its greenlet. Returns when it has ended.

        Errors are recorded and do not leave it, unless environment.catch_exceptions is False.
        """
        if self.stopping:
            return
        try:
            if self._entered():
                drive(self, self)
        except (StopUser, GreenletExit):
            pass
        except StopTest:
            self.environment.stop_test()
        except FLOW:
            pass
        except FAULTS as exc:
            if not self.environment.catch_exceptions:
                raise
            self.environment.task_failed(self, exc)
        finally:
            self._end()

    def _entered(self) -> bool:
        """Run on_start; False if it failed."""
        try:
            self.on_start()
        except FLOW:
            raise
        except FAULTS as exc:
            self.abandoned = True
            self.environment.task_failed(self, exc)
            return False
        return True

    def _end(self) -> None:
        self.stopping = True
        if self.abandoned:
            return
        try:
            leave(self, self)
        except GreenletExit:
            pass
        except StopTest:
            self.environment.stop_test()

    @builtin
    def wait(self) -> None:
        """Sleep for wait_time()."""
        self.pause(self.wait_time())

    def pause(self, seconds: float) -> None:
        """Sleep; never less than one turn of the hub."""
        gevent.sleep(seconds)
        self.has_yielded = True

    @property
    def state(self) -> UserState:
        if self.stopping:
            return UserState.STOPPING
        return UserState.WAITING if self.waiting else UserState.RUNNING

    def request_stop(self) -> None:
        """Ask the user to end: at once if it waits, else after its current task."""
        self.stopping = True
        if self.waiting:
            gevent.get_hub().loop.run_callback(self._leave_wait)

    def _leave_wait(self) -> None:
        """Called by the hub: if the user still waits, nothing else of it can run before it is thrown out."""
        if self.waiting and self.greenlet is not None:
            self.greenlet.throw(GreenletExit)

    def start(self, group: Group) -> gevent.Greenlet[..., Any]:
        """Run the user in a new greenlet of `group`."""
        self.greenlet = group.spawn(self.run)
        return self.greenlet

    def stop(self, force: bool = False) -> bool:
        """Stop the user: now if `force` or if it waits (True), else after its current task (False)."""
        if force and self.greenlet is not None:
            self.greenlet.kill(block=False)
            return True
        ends_now = self.waiting
        self.request_stop()
        return ends_now

    def own_user(self) -> User:
        return self

    def context(self) -> dict[str, Any]:
        """Override: what goes into the `context` of each request event of this user."""
        return {}

    def seeded(self) -> int:
        """The state of the user's generator, made from the run's seed and its identity if need be."""
        if not self.choice:
            self.choice = state_for(self.environment.seed, self._known_identity())
        return self.choice

    def draw(self) -> int:
        """A random number of 64 bits, of which the high ones are good."""
        self.choice = state = following(self.choice or self.seeded())
        return state

    @property
    def rng(self) -> Random:
        """A random.Random of this user: with the same --seed, the same in each run."""
        if self._rng is None:
            self._rng = Random(state_for(self.environment.seed, self._known_identity(), "rng"))
        return self._rng

    def _known_identity(self) -> UserIdentity:
        return self.identity if self.identity.class_name else UserIdentity(type(self).__name__, 0)

    def measure(self, method: str, name: str) -> Measurement:
        """Record a block, or each call of a function, as a request: `with self.measure("db", "reserve"):`."""
        return Measurement(self, method, name)

    def check(self, name: str, passed: object) -> bool:
        """Count a check as passed or failed, and return which. It does not fail the request or task."""
        result = bool(passed)
        self.environment.recorder.check(name, result)
        return result

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter of the run."""
        self.environment.recorder.count(name, amount)

    @classmethod
    def fullname(cls) -> str:
        """Module and name of the class."""
        return f"{cls.__module__}.{cls.__qualname__}"

    @classmethod
    def json(cls) -> dict[str, Any]:
        """What a class picker shows."""
        return {
            "host": cls.host,
            "weight": cls.weight,
            "fixed_count": cls.fixed_count,
            "tasks": list(dict.fromkeys(getattr(task, "__name__", repr(task)) for task, _ in pairs(cls.tasks))),
        }


class HttpUser(User):
    """A virtual user with an HTTP client, `self.client`.

    The attributes below are the client's settings; certificates are verified unless told otherwise.
    """

    abstract: ClassVar[bool] = True
    client: HttpClient

    connection_timeout: float | None = 10.0  # seconds for name, TCP and TLS together; None = no limit
    network_timeout: float | None = 60.0  # seconds to the first byte, and of silence after it
    max_redirects: int = 30
    default_headers: Mapping[str, str] | None = None  # sent with each request, besides the usual ones
    verify: bool | FilePath = True  # or the path of a CA bundle
    insecure: bool = False  # True: the same as verify = False
    cert: ClientCert | None = None  # client certificate: one file, or (certificate, key)
    tls_minimum_version: str = "1.2"  # or "1.3"
    tls_server_name: str | None = None  # the name of `host` in its certificate, where the URL has another one

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client = environment.client_for(self)

    def _end(self) -> None:
        """Its connections end with the user: the server need not wait for our garbage collection."""
        from loadgen.http.client import HttpClient

        try:
            super()._end()
        finally:
            client = getattr(self, "client", None)
            if isinstance(client, HttpClient):  # a scenario may have put something of its own there
                client.close()

    def rest(self, method: str, url: str, **kwargs: Any) -> Any:
        """The same as self.client.rest()."""
        return self.client.rest(method, url, **kwargs)

    def base_url(self) -> str:
        """The URL that paths are joined to. Raises ConfigError if neither the run nor the class has one."""
        if not self.host:
            raise no_host(type(self))
        return self.host


def no_host(cls: type[User]) -> ConfigError:
    """The error of an HttpUser that does not know what to load."""
    return ConfigError(
        f"{cls.__name__} has no host",
        code="LG106",
        hints=(f'Run with --host https://example.com, or write  host = "https://…"  in {cls.__name__}.',),
    )


class FastHttpUser(HttpUser):
    """The same as HttpUser: here that one is the fast client."""

    abstract: ClassVar[bool] = True

"""loadgen: load tests written as plain Python.

Importing this package defines names and does nothing else: no monkey patching, no gevent, no
sockets. Each public name is loaded from its module when it is first used (PEP 562).
"""

from __future__ import annotations

__version__ = "0.1.0"  # the same as in pyproject.toml; a test compares them

TYPE_CHECKING = False  # type checkers take it for True; `typing` itself would cost 10 ms here

if TYPE_CHECKING:
    from loadgen import data as data
    from loadgen.debugging import run_single_user as run_single_user
    from loadgen.environment import Environment as Environment
    from loadgen.errors import CatchResponseError as CatchResponseError
    from loadgen.flow import InterruptTaskSet as InterruptTaskSet
    from loadgen.flow import RescheduleTask as RescheduleTask
    from loadgen.flow import RescheduleTaskImmediately as RescheduleTaskImmediately
    from loadgen.flow import StopTest as StopTest
    from loadgen.flow import StopUser as StopUser
    from loadgen.hooks import events as events
    from loadgen.markov import MarkovTaskSet as MarkovTaskSet
    from loadgen.markov import transition as transition
    from loadgen.markov import transitions as transitions
    from loadgen.pacing import between as between
    from loadgen.pacing import constant as constant
    from loadgen.pacing import constant_pacing as constant_pacing
    from loadgen.pacing import constant_throughput as constant_throughput
    from loadgen.sequential import SequentialTaskSet as SequentialTaskSet
    from loadgen.tasks import TaskSet as TaskSet
    from loadgen.tasks import tag as tag
    from loadgen.tasks import task as task
    from loadgen.users import FastHttpUser as FastHttpUser
    from loadgen.users import HttpUser as HttpUser
    from loadgen.users import User as User

_HOMES = {
    "User": "users",
    "HttpUser": "users",
    "FastHttpUser": "users",
    "TaskSet": "tasks",
    "SequentialTaskSet": "sequential",
    "MarkovTaskSet": "markov",
    "task": "tasks",
    "tag": "tasks",
    "transition": "markov",
    "transitions": "markov",
    "between": "pacing",
    "constant": "pacing",
    "constant_pacing": "pacing",
    "constant_throughput": "pacing",
    "events": "hooks",
    "Environment": "environment",
    "run_single_user": "debugging",
    "StopUser": "flow",
    "StopTest": "flow",
    "InterruptTaskSet": "flow",
    "RescheduleTask": "flow",
    "RescheduleTaskImmediately": "flow",
    "CatchResponseError": "errors",
}

__all__ = [
    "User",
    "HttpUser",
    "FastHttpUser",
    "TaskSet",
    "SequentialTaskSet",
    "MarkovTaskSet",
    "task",
    "tag",
    "transition",
    "transitions",
    "between",
    "constant",
    "constant_pacing",
    "constant_throughput",
    "events",
    "Environment",
    "run_single_user",
    "StopUser",
    "StopTest",
    "InterruptTaskSet",
    "RescheduleTask",
    "RescheduleTaskImmediately",
    "CatchResponseError",
    "__version__",
]


_MODULES = frozenset({"data"})  # public as what they are: `from loadgen import data`

if not TYPE_CHECKING:  # or else every misspelt name would pass for an attribute

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None and name not in _MODULES:
            raise AttributeError(f"module 'loadgen' has no attribute {name!r}")
        from importlib import import_module

        if home is None:
            return import_module(f"loadgen.{name}")
        value = getattr(import_module(f"loadgen.{home}"), name)
        globals()[name] = value  # the next use does not come here
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})

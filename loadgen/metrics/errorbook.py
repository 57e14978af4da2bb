"""Failures and scenario exceptions between two seals, grouped and bounded.

A group keeps how often, first and last when, and its first and latest message with secrets taken
out. Texts are redacted here, on the worker, so that nothing secret travels.
"""

from __future__ import annotations

import traceback

from loadgen.metrics.failure import Failure
from loadgen.metrics.redact import redact
from loadgen.metrics.signature import signature

MAX_ERROR_GROUPS = 200  # per delta
MAX_TASK_ERROR_GROUPS = 50  # per delta
MAX_SAMPLE = 500  # characters of a message
MAX_TRACEBACK = 4_000  # characters
MAX_CATEGORY = 64  # characters of a category, a phase, a fault
MAX_ORIGIN = 1_000  # characters that tell where a scenario exception came from
OTHER = "(other)"
_MAX_MEMO = 1_000  # distinct raw messages whose signature is remembered
_MAX_FRAMES = 12  # innermost frames that tell one scenario exception from another

ErrorKey = tuple[int, str, str, str, str]  # series id, category, signature, phase, fault
TaskErrorKey = tuple[str, str]  # user class, exception type and frames


class Group:
    """How often, when (monotonic ns), and two messages."""

    __slots__ = ("count", "detail", "first_ns", "first_sample", "last_ns", "latest_sample")

    def __init__(self, now_ns: int, sample: str, detail: str = "") -> None:
        self.count = 0
        self.first_ns = self.last_ns = now_ns
        self.first_sample = self.latest_sample = sample
        self.detail = detail  # the traceback of a scenario exception

    def add(self, now_ns: int, sample: str) -> None:
        self.count += 1
        self.last_ns = now_ns
        self.latest_sample = sample


class ErrorBook:
    """All error groups of one worker since the last seal."""

    __slots__ = ("_memo", "groups", "task_groups")

    def __init__(self) -> None:
        self.groups: dict[ErrorKey, Group] = {}
        self.task_groups: dict[TaskErrorKey, Group] = {}
        self._memo: dict[str, tuple[str, str]] = {}

    def failure(self, series_id: int, failure: Failure, now_ns: int) -> None:
        """One failed request. Above MAX_ERROR_GROUPS, new groups go to "(other)" of series 0."""
        normalised, sample = self._texts(failure.message)
        key = (
            series_id,
            failure.category[:MAX_CATEGORY],
            normalised,
            failure.phase[:MAX_CATEGORY],
            failure.fault[:MAX_CATEGORY],
        )
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= MAX_ERROR_GROUPS:
                key = (0, OTHER, OTHER, "", key[4])
            group = self.groups.setdefault(key, Group(now_ns, _with_facts(sample, failure)))
        group.add(now_ns, _with_facts(sample, failure))

    def task_error(self, user_class: str, error: BaseException, now_ns: int) -> None:
        """One exception that escaped from scenario code. Only a new group is formatted."""
        key = (user_class, _origin(error))
        group = self.task_groups.get(key)
        message = _message(error)
        if group is None:
            detail = redact("".join(traceback.format_exception(error))[-MAX_TRACEBACK:])
            if len(self.task_groups) >= MAX_TASK_ERROR_GROUPS:
                key = ("", OTHER)
            group = self.task_groups.setdefault(key, Group(now_ns, message, detail))
        group.add(now_ns, message)

    def _texts(self, message: str) -> tuple[str, str]:
        """(signature, redacted sample) of a raw message; remembered, since most failures repeat."""
        found = self._memo.get(message)
        if found is None:
            if len(self._memo) >= _MAX_MEMO:
                self._memo.clear()
            clean = redact(message)
            found = self._memo[message] = (signature(clean), clean[:MAX_SAMPLE])
        return found


def _with_facts(sample: str, failure: Failure) -> str:
    """The sample with what else is known of how an exchange broke; a whole response that counts as failed did not."""
    if not failure.phase or not (failure.bytes or failure.retried or failure.reused):
        return sample
    facts = [
        f"after {failure.bytes} bytes" if failure.bytes else "",
        "on a reused connection" if failure.reused else "",
        "retried once" if failure.retried else "",
    ]
    return f"{sample} ({', '.join(fact for fact in facts if fact)})"


def _message(error: BaseException) -> str:
    """`Type: text`, without secrets; an exception whose own __str__ fails is still counted."""
    try:
        text = str(error)
    except Exception as exc:  # noqa: BLE001  # the scenario's own __str__
        text = f"<its text could not be made: {type(exc).__name__}>"
    name = type(error).__name__
    return redact(f"{name}: {text}" if text else name)[:MAX_SAMPLE]


def _origin(error: BaseException) -> str:
    """Exception type and innermost frames: equal for the same bug, whatever the message says."""
    frames = []
    step = error.__traceback__
    while step is not None:
        frames.append(f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}")
        step = step.tb_next
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{kind} {' > '.join(frames[-_MAX_FRAMES:])}"[-MAX_ORIGIN:]

"""Every error of loadgen that somebody may want to catch, and how it is shown to a user.

::

    LoadgenError
    ├── UsageError                what the user typed or wrote is wrong (exit code 4)
    │   ├── ConfigError           a flag, a setting, a threshold
    │   ├── RunFileError          a file that should hold a run: not one, damaged, newer, in use
    │   └── ScenarioError         the scenario file (codes LG1xx)
    ├── TargetError               the target cannot be reached or fails the dry run (exit code 7)
    ├── WorkersMissing            too few workers joined (exit code 8)
    ├── StoreError                the run file cannot be written now: nothing was kept, try again later
    │   └── StoreFull             … because the disk is full
    ├── WireError                 something arrived that is not our protocol
    │   ├── Malformed             bytes that are no valid frame: drop and count
    │   └── Incompatible          a valid hello of another major version: reject
    └── RequestError              one request failed (see loadgen.http.errors for its children)
        └── CatchResponseError    the scenario called response.failure("…")

A message says what, where and why; `hints` say what to do. Nothing here is shown with a
traceback: a traceback is for our bugs, not for the user's mistakes.
"""

from __future__ import annotations


class LoadgenError(Exception):
    """The root. `code` is a documented id such as "LG101", or "" where there is none."""

    def __init__(self, message: str, *, code: str = "", hints: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hints = hints

    def render(self) -> str:
        """`error[CODE]: message`, then each hint indented by two spaces on lines of its own."""
        head = f"error[{self.code}]: {self.message}" if self.code else f"error: {self.message}"
        return "\n".join([head, *(f"  {line}" for hint in self.hints for line in hint.splitlines())])


class UsageError(LoadgenError):
    """What the user typed or wrote is wrong."""


class ConfigError(UsageError):
    """A flag, a setting or a threshold is wrong."""


class RunFileError(UsageError):
    """A file that should hold a run, or a part of one, cannot be used. Its message names the file."""


class ScenarioError(UsageError):
    """The scenario cannot be used. Its message names the file and, where there is one, the line."""


class TargetError(LoadgenError):
    """The target cannot be reached, or fails the dry run."""


class WorkersMissing(LoadgenError):
    """Too few workers joined before the time was up."""


class StoreError(LoadgenError):
    """The run file cannot be written at the moment. Nothing of what was to be written was kept; try again later."""


class StoreFull(StoreError):
    """The disk of the run file is full."""


class WireError(LoadgenError):
    """Something arrived that is not our protocol."""


class Malformed(WireError):
    """Bytes that are no valid frame. The receiver drops and counts them."""


class Incompatible(WireError):
    """A valid hello of another major protocol version."""


class RequestError(LoadgenError):
    """One measured operation failed."""


class CatchResponseError(RequestError):
    """The scenario declared a response wrong with `response.failure("…")`."""

"""Exceptions a scenario raises to steer its own virtual user. None of them is an error.

They derive from Exception (not BaseException) as in Locust, so that a scenario's
`except Exception` around a task body sees them too.
"""

from __future__ import annotations


class StopUser(Exception):
    """This virtual user ends now; it is not replaced."""


class StopTest(Exception):
    """The whole run stops, gracefully."""


class InterruptTaskSet(Exception):
    """The current TaskSet hands control back to its parent.

    With `reschedule` the parent picks its next task at once, else it waits first.
    """

    def __init__(self, reschedule: bool = True) -> None:
        super().__init__()
        self.reschedule = reschedule


class RescheduleTask(Exception):
    """This iteration ends here; the user waits and goes on with its next task."""


class RescheduleTaskImmediately(Exception):
    """This iteration ends here; the user goes on with its next task without waiting."""

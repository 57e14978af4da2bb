"""A TaskSet whose tasks run in the order they are written, again and again."""

from __future__ import annotations

from typing import ClassVar

from loadgen.errors import LoadgenError
from loadgen.tasks import TaskSet
from loadgen.weighting import Task


class SequentialTaskSet(TaskSet):
    """Runs its tasks in order of declaration; a task of weight n runs n times in a row.

    `tasks` (a list or dict) takes its place among decorated methods where it is written. After
    the last task the first one follows.
    """

    keeps_place: ClassVar[bool] = True
    position: int = 0

    def get_next_task(self) -> Task:
        """The next task in order."""
        sequence = self.user.environment.table_of(self).sequence
        if not sequence:
            raise LoadgenError(f"{type(self).__name__} has no tasks: decorate methods with @task, or set `tasks`")
        chosen = sequence[self.position % len(sequence)]
        self.position = (self.position + 1) % len(sequence)
        return chosen

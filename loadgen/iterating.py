"""The loop of a virtual user: choose a task, run it, keep the books, wait.

User and TaskSet share it: a user is the holder of its own tasks, and a nested TaskSet runs the
same loop one level deeper. The normal path uses no exceptions and adds two Python frames (run,
drive) to the stack, which greenlet switches copy.

Invariants: each leaf task is one iteration, and books.started = ok + failed + cancelled once the
greenlet is gone, whatever ended it. A user that does not wait yields to the hub at least once per
iteration.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NoReturn

from gevent import GreenletExit, Timeout, sleep

from loadgen.errors import LoadgenError
from loadgen.flow import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from loadgen.identity import CHOICE_SHIFT, INCREMENT, MASK, MULTIPLIER
from loadgen.pacing import note_start

if TYPE_CHECKING:
    from loadgen.metrics.recorder import IterationBooks
    from loadgen.tasks import TaskSet
    from loadgen.users import User

ENDINGS = (StopUser, StopTest, GreenletExit)
FLOW = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)
FAULTS = (Exception, Timeout)  # what counts as an error of the scenario's code; Timeout is gevent's


def drive(user: User, holder: Any) -> None:
    """Run the tasks of the holder (user or TaskSet) until the user is asked to stop; then return.

    Raises InterruptTaskSet when a task leaves its (nested) TaskSet, StopUser, StopTest and
    GreenletExit as they come, and errors of tasks only if the environment does not catch them.

    Longer than a function should be: it is the hot path, where each call of a helper costs 0.06 µs.
    An iteration of an empty task without wait takes about 0.6 µs, 0.9 µs with weights to choose by.
    """
    environment = user.environment
    books = environment.recorder.books
    table = environment.table_of(holder)
    source, tasks, cuts = table.source, table.tasks, table.cuts
    picks, executes = table.picks, table.executes
    only = tasks[0] if len(tasks) == 1 else None
    user.seeded()
    if table.paced and user.started_ns is None:
        user.started_ns = environment.clock.now_ns()

    while not user.stopping:
        waits, started = True, False
        try:
            if holder.tasks is not source:  # a scenario put other tasks there
                table = environment.table_of(holder)
                source, tasks, cuts = table.source, table.tasks, table.cuts
                only = tasks[0] if len(tasks) == 1 else None
            if holder.queued:
                task = holder.queued.popleft()
            elif picks:
                task = holder.get_next_task()
            elif cuts:
                user.choice = state = (user.choice * MULTIPLIER + INCREMENT) & MASK
                task = tasks[bisect_right(cuts, state >> CHOICE_SHIFT)]
            else:
                task = only or no_tasks(holder)

            if isinstance(task, type):  # a nested TaskSet: its leaves are the iterations
                if executes:
                    holder.execute_task(task)
                else:
                    waits = not task(holder).run()
            else:
                if user.started_ns is not None:
                    note_start(user)
                started = True
                books.started += 1
                if executes:
                    holder.execute_task(task)
                else:
                    task(holder)
                if user.iteration_failed:
                    user.iteration_failed = False
                    books.failed += 1
                else:
                    books.ok += 1
        except RescheduleTaskImmediately:
            waits = False
            close(user, books, started)
        except RescheduleTask:
            close(user, books, started)
        except InterruptTaskSet as exc:
            if holder is not user:
                close(user, books, started)
                raise
            fail(user, books, started, outermost(exc))
        except (StopUser, StopTest):
            close(user, books, started)
            raise
        except FAULTS as exc:
            fail(user, books, started, exc)
        except BaseException:
            if started:
                user.iteration_failed = False
                books.cancelled += 1
            raise

        if user.stopping:
            break
        if waits:
            seconds = 0.0
            if table.waits:
                waits_itself(user, holder)
            else:
                try:
                    seconds = holder.wait_time()
                    waits = seconds > 0
                except FAULTS as exc:
                    cannot_wait(user, exc)
            if waits and seconds:
                user.waiting = True
                try:
                    sleep(seconds)
                finally:
                    user.waiting = False
                user.has_yielded = False
                continue
        if user.has_yielded:
            user.has_yielded = False
        else:
            sleep(0)


def close(user: User, books: IterationBooks, started: bool) -> None:
    """Count an iteration that ended early by its own choice."""
    if started:
        if user.iteration_failed:
            books.failed += 1
        else:
            books.ok += 1
    user.iteration_failed = False


def fail(user: User, books: IterationBooks, started: bool, error: BaseException) -> None:
    """Count an iteration that raised, and tell everybody. Raises if errors are not to be caught."""
    if started:
        books.failed += 1
    user.iteration_failed = False
    user.environment.task_failed(user, error)


def outermost(interrupt: InterruptTaskSet) -> LoadgenError:
    """The error of a task that interrupts, but stands in no TaskSet."""
    error = LoadgenError(
        "interrupt() in a task of the user itself: there is no TaskSet to leave",
        hints=("To end this user raise StopUser; to end the iteration raise RescheduleTask.",),
    )
    return error.with_traceback(interrupt.__traceback__)


def no_tasks(holder: User | TaskSet) -> NoReturn:
    """Ends the user: without a task there is nothing it could do."""
    user = holder.own_user()
    error = LoadgenError(
        f"{type(holder).__name__} has no tasks: decorate methods with @task, or set `tasks`",
        hints=("If --tags or --exclude-tags are used, they left none of its tasks.",),
    )
    user.environment.task_failed(user, error)
    raise StopUser


def cannot_wait(user: User, error: BaseException) -> NoReturn:
    """Ends the user whose wait_time raised: going on without waits would flood the target."""
    if isinstance(error, FLOW):
        raise error
    user.environment.task_failed(user, error)
    raise StopUser from error


def waits_itself(user: User, holder: User | TaskSet) -> None:
    """Call a wait() that the scenario overrides; a stop request may end it."""
    user.waiting = True
    try:
        holder.wait()
    except FAULTS as exc:
        user.waiting = False
        cannot_wait(user, exc)
    finally:
        user.waiting = False


def leave(user: User, holder: User | TaskSet) -> None:
    """Run the holder's on_stop. Its errors are reported and end nothing; StopTest and a kill go on."""
    try:
        holder.on_stop()
    except (StopTest, GreenletExit):
        raise
    except FLOW:
        pass  # it stops already
    except FAULTS as exc:
        user.environment.task_failed(user, exc)

"""`loadgen worker`: keeps worker processes at work for a master, one fresh process a run and a slot.

It watches for a master itself and starts processes only when one is there that accepts them, so that a
machine that waits costs next to nothing, and one process says what is wrong instead of many.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from time import monotonic

import gevent
from gevent.event import Event
from gevent.lock import Semaphore

from loadgen.children import Child, Children
from loadgen.waiting import wait_until
from loadgen.wire.address import Address
from loadgen.wire.keys import derive_keys
from loadgen.wire.probe import Finding, look

ANNOUNCEMENT = "\x1eloadgen: joined"  # the line by which a child says so
DRAIN_S = 10.0  # for children to finish when we are told to end
LOOK_AGAIN_S = 1.0
NEXT_RUN_S = 2.0  # after a run: the master that ended it should be gone, or ready for another
_LOOK_HOLDS_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Supervisor:
    """Run with `run`; `stop` may be called from any greenlet of the hub: once gracefully, twice for now."""

    def __init__(
        self, address: Address, secret: bytes, processes: int, *, once: bool, say: Callable[[str], None]
    ) -> None:
        self._address = address
        self._secret = secret
        self._keys = derive_keys(secret)
        self._processes = processes
        self._once = once
        self._say = say
        self._children = Children(self._child_ended, self._child_said)
        self._joined: set[bytes] = set()  # living children that a master has welcomed
        self._ends: dict[bytes, Event] = {}
        self._one_looks = Semaphore()
        self._looked_s = float("-inf")  # when a master was last found to be there
        self._shown = ""  # why we wait
        self._is_over = False  # with `once`: a run has ended
        self._stops = 0
        self._news = Event()

    def run(self) -> None:
        """Serve run after run until stopped, or one with `once`. No child is left afterwards."""
        slots = [gevent.spawn(self._serve) for _ in range(self._processes)]
        for slot in slots:
            slot.rawlink(lambda _: self._news.set())
        try:
            while not (self._stops or (self._is_over and not self._children.children)):
                self._news.wait()
                self._news.clear()
                for slot in slots:
                    if slot.exception is not None:
                        raise slot.exception  # a bug of ours
        finally:
            gevent.killall(slots)
            self._end_children()

    def stop(self) -> None:
        """Let the children finish and end; called again, end them now."""
        self._stops += 1
        self._news.set()

    def _end_children(self) -> None:
        if self._children.children:
            self._say(f"ending: {_processes(len(self._children.children))} may finish within {DRAIN_S:g} s")
        self._children.signal(signal.SIGTERM)
        wait_until(lambda: self._stops > 1 or not self._children.children, DRAIN_S)
        if left := len(self._children.children):
            self._say(f"{_processes(left)} had not finished and {'was' if left == 1 else 'were'} ended")
        self._children.close(0)

    # -- one slot

    def _serve(self) -> None:
        failures = 0
        while not self._is_over:
            self._wait_for_master()
            if self._is_over:
                return
            child = self._spawn()
            started_s = monotonic()
            self._ends[child.uid].wait()
            del self._ends[child.uid]
            failures = 0 if child.exit_ok else failures + 1
            if child.exit_ok:
                gevent.sleep(NEXT_RUN_S)
                continue
            if monotonic() - started_s > _LONGEST_PAUSE_S:
                failures = 1  # it was at work before it failed
            pause_s = pause_after(failures)
            self._say(f"a worker process (pid {child.pid}) {child.exit_text}; another starts in {pause_s:.0f} s")
            gevent.sleep(pause_s)

    def _spawn(self) -> Child:
        self._children.spawn(1, ("worker", "--master", str(self._address), "--announce"), self._secret)
        child = self._children.children[-1]
        self._ends[child.uid] = Event()
        return child

    def _wait_for_master(self) -> None:
        with self._one_looks:
            while monotonic() - self._looked_s > _LOOK_HOLDS_S:
                finding = look(self._address, self._keys)
                if finding.failed is None:
                    self._looked_s = monotonic()
                    self._shown = ""
                    return
                self._show(finding)
                gevent.sleep(LOOK_AGAIN_S * random.uniform(0.75, 1.25))

    def _show(self, finding: Finding) -> None:
        if finding.text != self._shown:
            self._shown = finding.text
            self._say(f"waiting: {finding.text}; {finding.hint}")

    # -- what children do

    def _child_said(self, child: Child, line: str) -> None:
        if line != ANNOUNCEMENT:
            self._say(line)
        elif child in self._children.children:
            self._joined.add(child.uid)
            if len(self._joined) == len(self._children.children):
                self._say(f"joined the master at {self._address} with {_processes(len(self._joined))}")

    def _child_ended(self, child: Child) -> None:
        had_joined = child.uid in self._joined
        self._joined.discard(child.uid)
        if had_joined and child.exit_ok and not self._stops:
            self._run_ended()
        self._ends[child.uid].set()
        self._news.set()

    def _run_ended(self) -> None:
        if not self._joined:
            self._say(f"the run at {self._address} has ended")
        if self._once:
            self._is_over = True
            for child in self._children.children:
                if child.uid not in self._joined:
                    self._children.signal(signal.SIGTERM, child)


def pause_after(failures: int) -> float:
    """Seconds before a slot's next process after so many failures in a row: 1, 2, 4, … at most 30."""
    return min(_LONGEST_PAUSE_S, 2.0 ** min(failures - 1, 10))


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"

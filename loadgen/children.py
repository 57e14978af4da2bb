"""Processes of loadgen that this one starts, and that end with it.

Each child is `loadgen ARGUMENTS --lifeline` and gets a pipe as its standard input. The first line says what
the secret is and who the child is (so that neither stands in a command line or an environment); after that
the pipe only has to stay open: when it closes, the parent is gone and the child ends itself. Children are in
process groups of their own, so Ctrl-C in the terminal reaches the parent alone, which then ends them in good order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.fileobject import FileObject

import loadgen
from loadgen.waiting import wait_until

KILL_AFTER_S = 5.0


@dataclass(slots=True, eq=False)
class Child:
    """One process; `exit_text` says how it ended ("" while it lives)."""

    uid: bytes
    pid: int
    lifeline: int  # write end of its standard input
    exit_text: str = ""
    exit_ok: bool = False


class Children:
    """The children that live. `on_exit` is called on the hub for each that ends, `on_line` for each line it writes."""

    def __init__(self, on_exit: Callable[[Child], None], on_line: Callable[[Child, str], None]) -> None:
        self.children: list[Child] = []
        self._on_exit = on_exit
        self._on_line = on_line
        self._readers: set[gevent.Greenlet[..., None]] = set()

    def spawn(self, count: int, arguments: Sequence[str], secret: bytes) -> None:
        """Start `count` times `loadgen ARGUMENTS`; the children are added at the end of `children`."""
        loop = gevent.get_hub().loop
        loop.install_sigchld()
        for _ in range(count):
            self._spawn_one(arguments, secret, loop)

    def _spawn_one(self, arguments: Sequence[str], secret: bytes, loop: Any) -> None:
        child_in, lifeline = os.pipe()
        output, child_out = os.pipe()
        uid = os.urandom(16)
        actions = [(os.POSIX_SPAWN_DUP2, child_in, 0), *((os.POSIX_SPAWN_DUP2, child_out, fd) for fd in (1, 2))]
        argv = [sys.executable, "-P", "-m", "loadgen", *arguments, "--lifeline"]
        pid = os.posix_spawn(sys.executable, argv, _environment(), file_actions=actions, setpgroup=0)
        os.close(child_in)
        os.close(child_out)
        os.write(lifeline, json.dumps({"secret": secret.hex(), "uid": uid.hex()}).encode() + b"\n")
        child = Child(uid, pid, lifeline)
        self.children.append(child)
        watcher = loop.child(pid)
        watcher.start(self._exited, child, watcher)
        reader = gevent.spawn(self._read_output, child, output)
        self._readers.add(reader)
        reader.rawlink(self._readers.discard)

    def _read_output(self, child: Child, fd: int) -> None:
        with FileObject(fd, "rb") as stream:
            for line in stream:
                self._on_line(child, line.decode("utf-8", "replace").rstrip("\n"))

    def _exited(self, child: Child, watcher: Any) -> None:
        status = watcher.rstatus
        watcher.stop()
        watcher.close()
        _let_go(child)
        self.children.remove(child)
        child.exit_ok = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        child.exit_text = _exit_text(status)
        self._on_exit(child)

    def signal(self, number: int, only: Child | None = None) -> None:
        """Send this signal to every child, or to one."""
        for child in self.children if only is None else [only]:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(child.pid, number)

    def close(self, timeout_s: float = KILL_AFTER_S) -> None:
        """Wait for the children to end by themselves, then end them; afterwards none is left."""
        self._wait(timeout_s)
        for child in self.children:
            _let_go(child)
        self._wait(1.0)
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(number)
            self._wait(KILL_AFTER_S)
        readers = list(self._readers)
        gevent.joinall(readers, timeout=1.0)
        gevent.killall(readers)

    def _wait(self, timeout_s: float) -> None:
        wait_until(lambda: not self.children, timeout_s)


def _let_go(child: Child) -> None:
    if child.lifeline >= 0:
        os.close(child.lifeline)
        child.lifeline = -1


def _exit_text(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by signal {number} ({signal.Signals(number).name})"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _environment() -> dict[str, str]:
    """Ours, with the folder of this very package in the path if it is not an installed one."""
    environment = dict(os.environ)
    environment.pop("LOADGEN_SECRET", None)
    environment["PYTHONUNBUFFERED"] = "1"
    home = Path(loadgen.__file__).parent.parent
    if home.name not in ("site-packages", "dist-packages"):
        known = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
        environment["PYTHONPATH"] = os.pathsep.join([str(home), *known])
    return environment

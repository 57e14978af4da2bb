"""Worker processes on this machine: started by the master, ended with it.

Each child gets a pipe as its standard input. Its first line says where the master is and what the
secret is (so that neither stands in a command line or an environment); after that the pipe only has to
stay open: when it closes, the parent is gone and the child ends itself. Children are in process groups of
their own, so Ctrl-C in the terminal reaches the master alone, which then stops them in good order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.fileobject import FileObject

import loadgen
from loadgen.waiting import wait_until

KILL_AFTER_S = 5.0


@dataclass(slots=True)
class LocalWorker:
    """One child process; `exit_text` says how it ended ("" while it lives)."""

    uid: bytes
    pid: int
    lifeline: int  # write end of its standard input
    exit_text: str = ""
    exit_ok: bool = False


class LocalWorkers:
    """The children of this master. `on_exit` is called on the hub for each that ends."""

    def __init__(self, on_exit: Callable[[LocalWorker], None], on_line: Callable[[LocalWorker, str], None]) -> None:
        self.children: list[LocalWorker] = []
        self._on_exit = on_exit
        self._on_line = on_line
        self._watchers: list[Any] = []
        self._readers: list[gevent.Greenlet[..., None]] = []

    def spawn(self, count: int, endpoint: str, secret: bytes) -> None:
        """Start `count` workers that join the master at `endpoint`."""
        loop = gevent.get_hub().loop
        loop.install_sigchld()
        for _ in range(count):
            self._spawn_one(endpoint, secret, loop)

    def _spawn_one(self, endpoint: str, secret: bytes, loop: Any) -> None:
        child_in, lifeline = os.pipe()
        output, child_out = os.pipe()
        uid = os.urandom(16)
        actions = [(os.POSIX_SPAWN_DUP2, child_in, 0), *((os.POSIX_SPAWN_DUP2, child_out, fd) for fd in (1, 2))]
        argv = [sys.executable, "-P", "-m", "loadgen", "worker", "--master", endpoint, "--lifeline"]
        pid = os.posix_spawn(sys.executable, argv, _environment(), file_actions=actions, setpgroup=0)
        os.close(child_in)
        os.close(child_out)
        os.write(lifeline, json.dumps({"secret": secret.hex(), "uid": uid.hex()}).encode() + b"\n")
        worker = LocalWorker(uid, pid, lifeline)
        self.children.append(worker)
        watcher = loop.child(pid)
        watcher.start(self._exited, worker, watcher)
        self._watchers.append(watcher)
        self._readers.append(gevent.spawn(self._read_output, worker, output))

    def _read_output(self, worker: LocalWorker, fd: int) -> None:
        with FileObject(fd, "rb") as stream:
            for line in stream:
                self._on_line(worker, line.decode("utf-8", "replace").rstrip("\n"))

    def _exited(self, worker: LocalWorker, watcher: Any) -> None:
        status = watcher.rstatus
        watcher.stop()
        worker.exit_ok = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        worker.exit_text = _exit_text(status)
        self._on_exit(worker)

    @property
    def alive(self) -> list[LocalWorker]:
        return [child for child in self.children if not child.exit_text]

    def close(self, timeout_s: float = KILL_AFTER_S) -> None:
        """Wait for the children to end by themselves, then end them; afterwards none is left."""
        self._wait(timeout_s)
        for child in self.children:
            _close_quietly(child)
        self._wait(1.0)
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for child in self.alive:
                os.kill(child.pid, sig)
            self._wait(KILL_AFTER_S)
        gevent.joinall(self._readers, timeout=1.0)
        gevent.killall(self._readers)
        for watcher in self._watchers:
            watcher.close()

    def _wait(self, timeout_s: float) -> None:
        wait_until(lambda: not self.alive, timeout_s)


def _close_quietly(child: LocalWorker) -> None:
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

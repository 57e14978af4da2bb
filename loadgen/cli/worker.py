"""`loadgen worker`: run virtual users for a master, run after run.

What is typed is a supervisor; the worker processes that it starts are this verb too, with `--lifeline`, and
so are those that a local run starts: one path for all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click

from loadgen.cli.options import MASTER, PROCESSES, option, secret_option
from loadgen.cli.verb import Verb
from loadgen.errors import LoadgenError, Malformed

if TYPE_CHECKING:
    from loadgen.wire.address import Address
    from loadgen.worker.process import Worker

_EXAMPLES = """
loadgen worker --master 10.0.0.5:5557 --secret-file secret
LOADGEN_SECRET=$(cat secret) loadgen worker --master master.internal:5557 --processes 2
"""
_NOTES = "It waits for its master, also between runs. SIGTERM or Ctrl-C lets it finish within 10 s; twice ends it now."


@click.command(cls=Verb, examples=_EXAMPLES, notes=_NOTES, name="worker")
@option("--master", required=True, type=MASTER, metavar="HOST:PORT", help="Where the master listens.")
@option("--processes", type=PROCESSES, default="auto", metavar="auto|N", help="One process per core (default), or N.")
@click.option("--once", is_flag=True, help="End after one run instead of waiting for the next.")
@secret_option()
@click.option("--lifeline", is_flag=True, hidden=True)
@click.option("--announce", is_flag=True, hidden=True)
def command(
    master: Address, processes: int | str, once: bool, secret_file: str | None, lifeline: bool, announce: bool
) -> int:
    """Run virtual users for the master there, run after run."""
    if lifeline:
        run_child(master, announce)
    else:
        supervise(master, processes, once, secret_file)
    return 0


def supervise(address: Address, processes: int | str, once: bool, secret_file: str | None) -> None:
    """Keep worker processes at work until we are told to end."""
    import gevent

    from loadgen.cli.secret import need_secret
    from loadgen.limits import cores, raise_file_limit
    from loadgen.worker.supervisor import Supervisor

    raise_file_limit()
    count = cores() if isinstance(processes, str) else processes
    secret = need_secret(secret_file, "a worker")
    supervisor = Supervisor(address, secret, count, once=once, say=lambda line: print(line, flush=True))
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, supervisor.stop)
    supervisor.run()


def run_child(address: Address, announce: bool) -> None:
    """Be one worker process, for the parent at the other end of our standard input."""
    import gevent

    from loadgen.worker.process import run_worker

    secret, uid = _take_lifeline()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when its children stop

    def made(worker: Worker) -> None:
        gevent.signal_handler(signal.SIGTERM, worker.drain)
        if announce:
            gevent.spawn(_announce, worker)

    result = run_worker(str(address), secret, uid, on_made=made)
    if result.refused:
        raise LoadgenError(f"the master at {address} refused this worker: {result.refused}", code="LG302")


def _announce(worker: Worker) -> None:
    from loadgen.worker.supervisor import ANNOUNCEMENT

    worker.joined.wait()
    print(ANNOUNCEMENT, flush=True)


def _take_lifeline() -> tuple[bytes, bytes]:
    """Our secret and uid from the parent; from then on the process ends when the parent does."""
    import gevent
    from gevent.fileobject import FileObject

    from loadgen.wire.keys import parse_secret

    stream = FileObject(sys.stdin.fileno(), "rb", close=False)
    try:
        first: dict[str, Any] = json.loads(stream.readline())
        secret, uid = parse_secret(first["secret"]), bytes.fromhex(first["uid"])
    except (ValueError, KeyError, TypeError) as exc:
        raise Malformed(f"the parent's first line is wrong: {exc}") from exc
    gevent.spawn(_end_with_parent, stream)
    return secret, uid


def _end_with_parent(stream: Any) -> None:
    while stream.read(1):
        pass
    os._exit(0)  # the parent is gone: nobody is left to answer to, and no load may go on without it

"""`loadgen worker`: join a master and run virtual users for it.

Local runs start their workers with this verb too (with `--lifeline`): one path for both.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from loadgen.cli.options import option
from loadgen.cli.verb import Verb
from loadgen.errors import ConfigError, LoadgenError, Malformed

_EXAMPLES = """
LOADGEN_SECRET=$(cat secret) loadgen worker --master 127.0.0.1:5557
loadgen worker --master 127.0.0.1:5557 --secret-file secret
"""


@click.command(cls=Verb, examples=_EXAMPLES, name="worker")
@option("--master", required=True, metavar="HOST:PORT", help="Where the master listens.")
@option("--secret-file", metavar="FILE", help="The secret, 64 hexadecimal digits (or LOADGEN_SECRET).")
@click.option("--lifeline", is_flag=True, hidden=True)
def command(master: str, secret_file: str | None, lifeline: bool) -> int:
    """Join a master and run virtual users for it."""
    from loadgen.worker.process import run_worker

    endpoint = _endpoint(master)
    if lifeline:
        secret, uid = _take_lifeline()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the master decides when its own workers stop
    else:
        secret, uid = _secret(secret_file), os.urandom(16)
    result = run_worker(endpoint, secret, uid)
    if result.refused:
        raise LoadgenError(f"the master at {endpoint} refused this worker: {result.refused}", code="LG302")
    return 0


def _endpoint(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f'"{text}" is not HOST:PORT', hints=("write it like 10.0.0.5:5557 or [::1]:5557",))
    return text


def _secret(path: str | None) -> bytes:
    from loadgen.wire.keys import parse_secret  # loads zmq, which --help must not

    if path is not None:
        try:
            return parse_secret(Path(path).read_text(encoding="ascii"))
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"cannot read the secret file {path}: {exc}") from exc
    text = os.environ.get("LOADGEN_SECRET", "")
    if not text:
        raise ConfigError(
            "a worker needs the master's secret",
            hints=("set LOADGEN_SECRET, or give --secret-file FILE with its 64 hexadecimal digits",),
        )
    return parse_secret(text)


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
    os._exit(0)  # the master is gone: nobody is left to report to, and no load may go on without it

"""The bundled shop as seen from the process that starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import loadgen
from loadgen.errors import TargetError

_STOP_TIMEOUT_S = 5.0


@contextmanager
def running_shop() -> Iterator[str]:
    """The URL of a freshly started shop, which ends with the `with` block. Raises TargetError if it will not start.

    It runs in a session of its own, so that Ctrl-C in the terminal does not close the shop under its visitors.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "loadgen.demo.target"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise TargetError("the demo's own server did not start", hints=("its error stands above",))
        yield f"http://127.0.0.1:{json.loads(line)['port']}"
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _environment() -> dict[str, str]:
    """Ours; if this very package is not an installed one, its folder comes first in the path."""
    home = Path(loadgen.__file__).parent.parent
    if home.name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(home), *known])}

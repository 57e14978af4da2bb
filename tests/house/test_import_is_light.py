"""`import loadgen` defines names and does nothing else: a scenario's editor, a linter and `--help` pay for nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.house.sources import ROLES, ROOT

LOOK = """
import json, sys
before = __import__("threading").active_count()
import loadgen
heavy = [m for m in ("gevent", "zmq", "numpy", "flask", "httptools", "msgpack", "psutil", "click") if m in sys.modules]
import socket, threading
print(json.dumps({
    "heavy": heavy,
    "patched": socket.socket.__module__ != "socket",
    "threads": threading.active_count() - before,
}))
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_importing_loadgen_loads_nothing_heavy_and_patches_nothing() -> None:
    result = python(LOOK)

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"heavy": [], "patched": False, "threads": 0}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_imported_under_its_folder_name_is_refused(role: str) -> None:
    result = python(f"import {role}")

    assert result.returncode == 1
    assert f"import loadgen.{role}, not {role}" in result.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_importable_under_its_own_name(role: str) -> None:
    result = python(f"import loadgen.{role}")

    assert result.returncode == 0, result.stderr


def test_help_does_not_load_gevent() -> None:
    code = (
        "import sys\nsys.argv = ['loadgen', '--help']\n"
        "from loadgen.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'gevent' not in sys.modules"
    )

    result = python(code)

    assert result.returncode == 0, result.stderr
    assert "run" in result.stdout

"""`import loadgen` and its lazy names."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import loadgen

ROOT = Path(__file__).parents[2]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_loadgen_loads_neither_gevent_nor_any_of_its_own_modules() -> None:
    loaded = run_python(
        "import sys, loadgen; print([m for m in sys.modules if m.startswith(('gevent', 'loadgen.', 'zmq', 'numpy'))])"
    )

    assert loaded == "[]"


def test_importing_loadgen_starts_no_thread_and_patches_nothing() -> None:
    out = run_python(
        "import threading, socket; before = socket.socket; import loadgen; "
        "print(threading.active_count(), socket.socket is before)"
    )

    assert out == "1 True"


def test_using_the_scenario_names_patches_nothing() -> None:
    out = run_python(
        "import socket; before = socket.socket; from loadgen import *; "
        "import gevent.monkey; print(socket.socket is before, gevent.monkey.is_module_patched('socket'))"
    )

    assert out == "True False"


@pytest.mark.parametrize("name", loadgen.__all__)
def test_every_public_name_is_there_and_is_no_module(name: str) -> None:
    assert not isinstance(getattr(loadgen, name), ModuleType)


def test_every_public_name_is_declared_for_type_checkers_and_has_a_home() -> None:
    assert set(loadgen._HOMES) == set(loadgen.__all__) - {"__version__"}
    source = Path(loadgen.__file__).read_text()

    for name in loadgen._HOMES:
        assert f"import {name} as {name}\n" in source


def test_no_module_is_called_like_a_public_name() -> None:
    modules = {path.stem for path in Path(loadgen.__file__).parent.glob("*.py")}

    assert not modules & set(loadgen.__all__)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="HttpUsr"):
        loadgen.HttpUsr  # type: ignore[attr-defined]  # noqa: B018


def test_dir_lists_the_lazy_names() -> None:
    assert "HttpUser" in dir(loadgen)


def test_the_version_is_that_of_the_project_file() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert loadgen.__version__ == project["project"]["version"]

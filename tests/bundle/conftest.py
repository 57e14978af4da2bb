"""A folder to write scenarios into, and a process that is left as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.bundle import Bundle, Limits, build
from loadgen.importing import forget
from loadgen.scenario import Scenario, load_scenario

from .helpers import SHOP, Build, Load, write


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Writes `shop.py`, these lines above its class, into a folder, and loads it."""
    path, loaded = list(sys.path), []

    def load(folder: Path, lines: str = "") -> Scenario:
        write(folder, {"shop.py": f"{lines}\n{SHOP}"})
        loaded.append(folder / "shop.py")
        return load_scenario(folder / "shop.py")

    yield load
    for file in loaded:
        forget(file)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def bundle_of(load: Load, tmp_path: Path) -> Build:
    """The bundle of a scenario made of these lines above its class, beside these files."""

    def bundle_of(lines: str = "", files: dict[str, str] | None = None, limits: Limits | None = None) -> Bundle:
        write(tmp_path, files or {})
        scenario = load(tmp_path, lines)
        return build(scenario, limits) if limits else build(scenario)

    return bundle_of

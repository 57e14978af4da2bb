"""The same scenario is the same bundle: on another machine, in another folder, imported in another order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.bundle import build

from .helpers import SHOP, Build, Load, write

ROOT = Path(__file__).parents[2]
FILES = {"app/__init__.py": "", "app/pay.py": "", "prices.py": "", "users.csv": "name\nann\n", "data/1.json": "1"}
LINES = "import prices\nfrom app import pay\nfiles = ['data/*', 'users.csv']"
PRINT = """
import json, sys
sys.path.insert(0, {root!r})
from loadgen.bundle import build
from loadgen.scenario import load_scenario
bundle = build(load_scenario(sys.argv[1]))
print(json.dumps([bundle.sha256, bundle.data.hex(), [one.path for one in bundle.files]]))
"""


def test_other_processes_agree(tmp_path: Path) -> None:
    results = []
    for number, (seed, umask) in enumerate([("0", 0o022), ("1", 0o077), ("4711", 0o000)]):
        folder = tmp_path / f"machine{number}"
        before = os.umask(umask)
        try:
            write(folder, dict(sorted({**FILES, "shop.py": f"{LINES}\n{SHOP}"}.items(), reverse=bool(number))))
        finally:
            os.umask(before)
        for path in folder.rglob("*"):
            os.utime(path, (number * 1e8, number * 1e8))
        command = [sys.executable, "-c", PRINT.format(root=str(ROOT)), str(folder / "shop.py")]
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC+{number}", "LC_ALL": "C"}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=True)
        results.append(json.loads(done.stdout))

    assert results[0] == results[1] == results[2]
    assert results[0][2] == sorted([*FILES, "shop.py"])


def test_what_was_imported_before_changes_nothing(load: Load, tmp_path: Path) -> None:
    write(tmp_path, FILES)
    first = build(load(tmp_path, LINES))
    again = build(load(tmp_path, LINES))
    sys.modules.pop("app.pay")
    sys.modules.pop("prices")

    assert build(load(tmp_path, LINES)) == again == first


@pytest.mark.parametrize("path", ["users.csv", "prices.py", "app/__init__.py"])
def test_another_content_has_another_name(bundle_of: Build, path: str) -> None:
    first = bundle_of(LINES, FILES)

    assert bundle_of(LINES, {path: "# changed"}).sha256 != first.sha256


def test_a_file_that_does_not_travel_changes_nothing(bundle_of: Build) -> None:
    assert bundle_of(LINES, FILES) == bundle_of(LINES, {"notes.txt": "changed", "unused.py": "x = 1"})

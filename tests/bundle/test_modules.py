"""Which Python files go into a bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from loadgen.bundle import build
from loadgen.scenario import load_scenario

from .helpers import Build, Load, paths, write

ROOT = Path(__file__).parents[2]
PUT_ON_PATH = "import sys, os\nsys.path.append(os.path.join(os.path.dirname(__file__), '{}'))"


def test_a_scenario_that_needs_nothing_travels_alone(bundle_of: Build) -> None:
    bundle = bundle_of()

    assert paths(bundle) == ["shop.py"]
    assert bundle.entry == "shop.py"
    assert bundle.total_bytes == bundle.files[0].size
    assert bundle.outside == ()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("import prices", ["prices.py"]),
        ("import app", ["app/__init__.py"]),
        ("import app.pay", ["app/__init__.py", "app/pay.py"]),
        ("from app import pay", ["app/__init__.py", "app/pay.py"]),
        ("from app.deep.inner import VALUE", ["app/__init__.py", "app/deep/__init__.py", "app/deep/inner.py"]),
        ("import app.uncle", ["app/__init__.py", "app/deep/__init__.py", "app/deep/inner.py", "app/uncle.py"]),
        ("import app.deep.nephew", ["app/__init__.py", "app/deep/__init__.py", "app/deep/nephew.py", "app/pay.py"]),
        ("from plain import part", ["plain/part.py"]),
        ("import chain", ["chain.py", "prices.py"]),
        ("def later():\n    import prices", ["prices.py"]),
        ("try:\n    import nothing_like_it\nexcept ImportError:\n    import prices", ["prices.py"]),
        ("import importlib\nimportlib.import_module('pri' + 'ces')", ["prices.py"]),
        ("import importlib\nimportlib.import_module('app.p' + 'ay')", ["app/__init__.py", "app/pay.py"]),
        (f"{PUT_ON_PATH.format('lib')}\nimport inlib", ["lib/inlib.py"]),
        (f"{PUT_ON_PATH.format('lib')}\ndef later():\n    import inlib", ["lib/inlib.py"]),
        ("def later():\n    import broken", ["broken.py"]),
    ],
)
def test_what_is_imported_from_the_folder_is_found(bundle_of: Build, lines: str, expected: list[str]) -> None:
    files = {
        "prices.py": "",
        "unused.py": "",
        "broken.py": "this is not Python",
        "chain.py": "import prices, chain",
        "app/__init__.py": "",
        "app/pay.py": "",
        "app/uncle.py": "from .deep.inner import VALUE",
        "app/unused.py": "",
        "app/deep/__init__.py": "",
        "app/deep/inner.py": "VALUE = 1",
        "app/deep/nephew.py": "from .. import pay",
        "plain/part.py": "",
        "lib/inlib.py": "",
    }

    assert paths(bundle_of(lines, files)) == sorted([*expected, "shop.py"])


def test_the_standard_library_and_installed_packages_stay_away(bundle_of: Build) -> None:
    bundle = bundle_of("import json, email.message, click, msgpack, loadgen.units")

    assert paths(bundle) == ["shop.py"]
    assert bundle.outside == ()


def test_packages_installed_inside_the_folder_stay_away(bundle_of: Build) -> None:
    place = ".venv/lib/python3.11/site-packages"
    lines = f"{PUT_ON_PATH.format(place)}\nimport depend, pay"

    assert paths(bundle_of(lines, {f"{place}/depend/__init__.py": "", "pay.py": ""})) == ["pay.py", "shop.py"]


def test_an_interpreter_inside_the_folder_stays_away(
    bundle_of: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    lines = f"{PUT_ON_PATH.format('env/lib')}\nimport ofpython"

    assert paths(bundle_of(lines, {"env/lib/ofpython.py": ""})) == ["shop.py"]


def test_a_module_outside_of_the_folder_is_named(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"common.py": "", "shop/own.py": ""})
    monkeypatch.syspath_prepend(str(tmp_path))

    bundle = build(load(tmp_path / "shop", "import common, own"))

    assert paths(bundle) == ["own.py", "shop.py"]
    assert bundle.outside == (("common", str(tmp_path / "common.py")),)


def test_a_folder_reached_by_another_way_is_the_same_folder(load: Load, tmp_path: Path) -> None:
    write(tmp_path / "shop", {"own.py": "", "lib/inlib.py": ""})
    (tmp_path / "way").symlink_to(tmp_path / "shop")
    lines = f"import sys\nsys.path.append({str(tmp_path / 'shop' / 'lib')!r})\nimport own, inlib"
    roundabout = tmp_path / "shop" / ".." / "way"

    bundle = build(load(roundabout, lines))

    assert paths(bundle) == ["lib/inlib.py", "own.py", "shop.py"]


def test_our_own_scenarios_travel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # loading puts loadgen/demo there, which holds a shop.py
    scenario = load_scenario(ROOT / "loadgen" / "demo" / "scenario.py")

    assert paths(build(scenario)) == ["scenario.py"]

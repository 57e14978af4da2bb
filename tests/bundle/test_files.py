"""Which declared files go into a bundle, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import loadgen.wire.bundle_declared
from loadgen.bundle import DEFAULT_LIMITS, HARD_LIMITS, Limits, build, limits_for
from loadgen.errors import ConfigError, ScenarioError
from loadgen.wire.bundle_folder import ScenarioFolder

from .helpers import Build, Load, paths, write

FILES = {
    "users.csv": "a",
    "data/one.json": "1",
    "data/two.json": "22",
    "data/deep/three.json": "333",
    "data/.secret.json": "x",
    "data/__pycache__/four.json": "x",
    ".env": "SECRET=1",
    "other/one.json": "o",
}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["users.csv"], ["users.csv"]),
        (["./users.csv", "users.csv"], ["users.csv"]),
        (["users.???", "[d]ata/one.json"], ["data/one.json", "users.csv"]),
        (["data/*.json"], ["data/one.json", "data/two.json"]),
        (["*/one.json"], ["data/one.json", "other/one.json"]),
        (["data/**"], ["data/deep/three.json", "data/one.json", "data/two.json"]),
        (["**/*e.json"], ["data/deep/three.json", "data/one.json", "other/one.json"]),
        (["data/**/three.json"], ["data/deep/three.json"]),
        (["data//deep/./three.json"], ["data/deep/three.json"]),
        ([".env", "data/.*.json"], [".env", "data/.secret.json"]),
    ],
)
def test_declared_files_are_in_it(bundle_of: Build, patterns: list[str], expected: list[str]) -> None:
    assert paths(bundle_of(f"files = {patterns!r}", FILES)) == sorted([*expected, "shop.py"])


@pytest.mark.parametrize("value", ["'users.csv'", "('users.csv',)", "[__import__('pathlib').Path('users.csv')]"])
def test_a_text_a_tuple_and_a_path_will_do(bundle_of: Build, value: str) -> None:
    assert paths(bundle_of(f"files = {value}", FILES)) == ["shop.py", "users.csv"]


def test_the_test_data_of_its_modules_is_in_it_too(bundle_of: Build) -> None:
    lines = "from loadgen import data\nusers = data.csv('users.csv')\nimport held"
    held = "from loadgen import data\nonce = data.json('data/[one].json')"

    bundle = bundle_of(lines, {"users.csv": "name\nann\n", "held.py": held, "data/[one].json": "[1]"})

    assert paths(bundle) == ["data/[one].json", "held.py", "shop.py", "users.csv"]


def test_test_data_from_elsewhere_is_refused(load: Load, tmp_path: Path) -> None:
    write(tmp_path, {"users.csv": "name\nann\n", "shop/x": ""})

    with pytest.raises(ScenarioError) as raised:
        build(load(tmp_path / "shop", "from loadgen import data\nusers = data.csv('../users.csv')"))

    assert raised.value.code == "LG121"
    assert "users.csv, test data of " in raised.value.message


@pytest.mark.parametrize(
    ("lines", "code", "text"),
    [
        ("files = {'a': 1}", "LG122", "`files` is not a list of texts"),
        ("files = [1]", "LG122", "give it another name"),
        ("files = ['']", "LG122", "list of texts"),
        ("files = ['user.csv']", "LG123", '"user.csv" in `files` of '),
        ("files = ['*.txt']", "LG123", "matches no file"),
        ("files = ['data']", "LG123", 'files = ["data/**"]'),
        ("files = ['/etc/passwd']", "LG121", "does not lie in the scenario's folder"),
        ("files = ['~/users.csv']", "LG121", "does not lie"),
        ("files = ['data/../../users.csv']", "LG121", "does not lie"),
    ],
)
def test_a_wrong_declaration_says_what_to_do(bundle_of: Build, lines: str, code: str, text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        bundle_of(lines, FILES)

    assert raised.value.code == code
    assert text in raised.value.render()
    assert "shop.py" in raised.value.render()


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(files=2), "would have 3 files; 2 are allowed"),
        (Limits(total_bytes=3_000), "The largest: big.csv 2.0 KiB, more.csv 1.0 KiB"),
        (Limits(file_bytes=2_000), "big.csv in the bundle of"),
    ],
)
def test_too_much_is_refused_by_name(bundle_of: Build, limits: Limits, text: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        bundle_of("files = ['*.csv']", {"big.csv": "x" * 2_048, "more.csv": "x" * 1_024}, limits)

    assert raised.value.code == "LG124"
    assert text in raised.value.render()


def test_looking_through_everything_ends(bundle_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadgen.wire.bundle_declared, "SCAN_MAX", 5)

    with pytest.raises(ScenarioError) as raised:
        bundle_of("files = ['**']", FILES)

    assert raised.value.code == "LG124"


def test_the_size_may_be_raised_up_to_what_a_worker_takes() -> None:
    assert limits_for(DEFAULT_LIMITS.total_bytes) == DEFAULT_LIMITS
    assert limits_for(HARD_LIMITS.total_bytes).total_bytes == HARD_LIMITS.total_bytes
    for size in (0, HARD_LIMITS.total_bytes + 1):
        with pytest.raises(ConfigError):
            limits_for(size)


def test_a_link_inside_the_folder_travels_as_a_file(load: Load, tmp_path: Path) -> None:
    """As Kubernetes mounts a ConfigMap: every name is a link into a folder that is a link itself."""
    write(tmp_path, {"..2024_01/users.csv": "a", "..2024_01/prices.py": ""})
    (tmp_path / "..data").symlink_to("..2024_01")
    for name in ("users.csv", "prices.py"):
        (tmp_path / name).symlink_to(f"..data/{name}")

    bundle = build(load(tmp_path, "import prices\nfiles = ['users.csv']"))

    assert paths(bundle) == ["prices.py", "shop.py", "users.csv"]


@pytest.mark.parametrize("name", ["users.csv", "prices.py", "lib/users.csv", "shop.py"])
def test_a_link_out_of_the_folder_is_refused(load: Load, tmp_path: Path, name: str) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "shop"
    elsewhere.mkdir()
    write(folder, {"users.csv": "", "prices.py": "", "lib/users.csv": ""})
    scenario = load(folder, "import prices\nfiles = ['users.csv', 'lib/*']")
    path = folder / name.split("/")[0]
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)

    with pytest.raises(ScenarioError) as raised:
        build(scenario)

    assert raised.value.code == "LG121"
    assert f"leads out of the scenario's folder, to {elsewhere / name}" in raised.value.message


def test_a_folder_that_contains_itself_is_no_trap(load: Load, tmp_path: Path) -> None:
    write(tmp_path, {"data/users.csv": ""})
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")

    assert paths(build(load(tmp_path, "files = ['**/*.csv']"))) == ["data/users.csv", "shop.py"]


def test_what_is_no_plain_file_is_refused_without_waiting_for_it(load: Load, tmp_path: Path) -> None:
    (tmp_path / "gone.csv").symlink_to("nowhere.csv")
    with pytest.raises(ScenarioError) as raised:
        build(load(tmp_path, "files = ['*.csv']"))

    assert raised.value.code == "LG125"
    assert "gone.csv cannot go into the bundle: No such file" in raised.value.message

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ScenarioError, match="pipe"):
        build(load(tmp_path, "files = ['pipe']"))


@pytest.mark.parametrize("name", [b"caf\xe9.csv", b"a\nb.csv", b"a\\b.csv"])
def test_a_name_that_other_machines_may_not_have_is_refused(load: Load, tmp_path: Path, name: bytes) -> None:
    try:
        (tmp_path / os.fsdecode(name)).write_text("")
    except OSError:
        pytest.skip("this file system has no such names")

    with pytest.raises(ScenarioError) as raised:
        build(load(tmp_path, "files = ['*.csv']"))

    assert raised.value.code == "LG125"
    raised.value.render().encode()


def test_a_scenario_that_changed_since_its_import_is_refused(load: Load, tmp_path: Path) -> None:
    scenario = load(tmp_path)
    scenario.path.write_text("x = 1\n")

    with pytest.raises(ScenarioError, match="changed since it was imported"):
        build(scenario)


def test_a_scenario_alone_may_lie_in_the_home_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert paths(build(load(tmp_path))) == ["shop.py"]


@pytest.mark.parametrize("home", [".", "someone"])
@pytest.mark.parametrize("lines", ["import prices", "files = ['users.csv']"])
def test_the_home_folder_is_no_scenario_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, home: str
) -> None:
    write(tmp_path, {"prices.py": "", "users.csv": "", "someone/file": ""})
    monkeypatch.setenv("HOME", str(tmp_path / home))

    with pytest.raises(ScenarioError) as raised:
        build(load(tmp_path, lines))

    assert raised.value.code == "LG120"
    assert str(tmp_path) in raised.value.message


def test_what_else_was_imported_from_the_home_folder_does_not_count(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"work/somebodys.py": ""})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "work"))

    bundle = build(load(tmp_path, "import somebodys"))

    assert paths(bundle) == ["shop.py"]


@pytest.mark.parametrize("scenario", ["/shop.py", "/home/shop.py", "/home/ann/shop.py"])
def test_the_root_and_what_holds_the_home_folder_are_shared(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")

    assert ScenarioFolder(Path(scenario)).is_shared
    assert not ScenarioFolder(Path("/home/ann/load/shop.py")).is_shared
    assert not ScenarioFolder(Path("/home/anna/shop.py")).is_shared

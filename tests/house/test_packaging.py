"""What is installed: the same files by every way, and nothing called `web`, `worker` or `master`.

All builds run in a copy of the files git knows, without build isolation and without dependencies, so that they
need no network; the dependencies of this test's own environment are lent to the fresh one for the import.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from setuptools import find_packages

from tests.house.sources import ROLES, ROOT, modules

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints; fails the test with everything it said if it exits non-zero."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `git clone` would give, with uncommitted edits."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in run("git", "ls-files", "-z", cwd=ROOT).rstrip("\0").split("\0"):
        source = ROOT / name
        if source.is_symlink() or source.is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sdist/*.tar.gz`, the wheel made from it beside it, and `direct/*.whl` made from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
    run(*build, folder / "sdist", checkout, cwd=folder)
    run(*build, folder / "direct", "--wheel", checkout, cwd=folder)
    return folder


def fresh_environment(folder: Path) -> Path:
    """The interpreter of a new environment that has nothing installed, not even pip."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def pip_install(python: Path, *what: str | Path, cwd: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-build-isolation", "--no-index", *what, cwd=cwd)


def lend_dependencies(python: Path) -> None:
    """Put this environment's packages after those of the fresh one; its .pth files (editable installs) stay unread."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(run(python, "-c", code, cwd=python.parent).strip())
    (site_packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")


def assert_it_works(python: Path, elsewhere: Path) -> None:
    """`import loadgen`, each role, and the command, seen from a folder that has nothing to do with the project."""
    names = ", ".join(["loadgen.users", *(f"loadgen.{role}" for role in ROLES)])
    where = run(python, "-c", f"import loadgen, {names}; print(loadgen.__file__)", cwd=elsewhere)
    assert Path(where.strip()).is_file()
    for role in ROLES:
        strangers = subprocess.run([python, "-c", f"import {role}"], cwd=elsewhere, capture_output=True, text=True)
        assert f"No module named '{role}'" in strangers.stderr
    assert run(python.parent / "loadgen", "--version", cwd=elsewhere).startswith("loadgen ")


def wheel_files(folder: Path) -> set[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_list_of_packages_is_complete() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]

    assert set(declared) == set(find_packages(str(ROOT), include=["loadgen", "loadgen.*"]))


def test_a_wheel_made_from_the_sdist_equals_one_made_from_the_checkout(dist: Path) -> None:
    assert wheel_files(dist / "sdist") == wheel_files(dist / "direct")


def test_the_wheel_holds_every_module_and_only_loadgen(dist: Path, checkout: Path) -> None:
    files = wheel_files(dist / "direct")
    expected = {
        dotted.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
        for dotted, path in modules(checkout).items()
    }

    assert {name for name in files if name.endswith(".py")} == expected
    assert "loadgen/py.typed" in files
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"loadgen"}


def test_the_wheel_names_loadgen_as_its_only_top_level(dist: Path) -> None:
    (wheel,) = (dist / "direct").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))

        assert archive.read(name).decode().split() == ["loadgen"]


def test_the_sdist_carries_the_licence_and_no_link(dist: Path) -> None:
    (sdist,) = (dist / "sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()

    assert any(member.name.endswith("/LICENSE") for member in members)
    assert [member.name for member in members if member.issym() or member.islnk()] == []


def test_an_ordinary_install_works_in_a_fresh_environment(dist: Path, tmp_path: Path) -> None:
    """`pip install .` is building this wheel and installing it."""
    python = fresh_environment(tmp_path / "venv")
    (wheel,) = (dist / "direct").glob("*.whl")

    pip_install(python, wheel, cwd=tmp_path)
    lend_dependencies(python)

    assert_it_works(python, elsewhere=tmp_path)


def test_an_editable_install_works_in_a_fresh_environment(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = fresh_environment(tmp_path / "venv")
    monkeypatch.setenv("PYTHONPATH", sysconfig.get_path("purelib"))  # setuptools, for the build in the fresh one
    pip_install(python, "--editable", checkout, cwd=tmp_path)
    monkeypatch.delenv("PYTHONPATH")

    lend_dependencies(python)

    assert_it_works(python, elsewhere=tmp_path)


def test_a_checkout_without_links_installs_all_the_same(checkout: Path, tmp_path: Path) -> None:
    """A downloaded zip and core.symlinks=false turn the links into small text files."""
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy, symlinks=True, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    for role in ROLES:
        (copy / "loadgen" / role).unlink()
        (copy / "loadgen" / role).write_text(f"../{role}")

    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist", copy, cwd=tmp_path)

    assert {f"loadgen/{role}/__init__.py" for role in ROLES} <= wheel_files(tmp_path / "dist")

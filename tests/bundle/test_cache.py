"""Where a worker keeps its bundles, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.bundle import BundleCache
from loadgen.errors import Malformed, ScenarioError
from loadgen.scenario import load_scenario
from loadgen.wire.bundle_archive import pack
from loadgen.wire.bundle_cache import remove_abandoned

from .helpers import SHOP, Load

ROOT = Path(__file__).parents[2]
TABLE, DATA = pack("shop.py", {"shop.py": f"import prices\n{SHOP}".encode(), "prices.py": b"PRICE = 7\n"})
NAME = TABLE.sha256

HOLD = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from loadgen.bundle import BundleCache
from tests.bundle.test_cache import DATA, NAME
cache = BundleCache(Path(sys.argv[1]))
print(cache.put(NAME, DATA), flush=True)
sys.stdin.readline()
"""


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a bundle in a cache, and its scenario file."""
    command = [sys.executable, "-c", HOLD.format(root=str(ROOT)), str(parent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=30)


def test_a_bundle_is_unpacked_once_and_runs(tmp_path: Path, load: Load) -> None:
    cache = BundleCache(tmp_path)
    assert cache.get(NAME) is None

    entry = cache.put(NAME, DATA)

    assert cache.get(NAME) == cache.put(NAME, b"") == entry
    assert load_scenario(entry).module.prices.PRICE == 7
    cache.close()


def test_nothing_is_made_before_it_is_needed_or_left_after_the_end(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    assert list(tmp_path.iterdir()) == []

    cache.put(NAME, DATA)
    cache.close()
    cache.close()

    assert list(tmp_path.iterdir()) == []
    assert cache.get(NAME) is None


def test_a_wrong_bundle_is_not_kept(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)

    with pytest.raises(Malformed):
        cache.put(NAME, DATA[:-1])
    with pytest.raises(Malformed):
        cache.put("0" * 64, DATA)
    assert cache.get(NAME) is None
    assert cache.put(NAME, DATA).is_file()
    cache.close()


def test_a_disk_that_cannot_be_written_is_the_users_to_know(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path / "nowhere")

    with pytest.raises(ScenarioError) as raised:
        cache.put(NAME, DATA)

    assert raised.value.code == "LG306"
    assert str(tmp_path / "nowhere") in raised.value.message
    assert "TMPDIR" in raised.value.render()


def test_the_folder_ends_with_its_process(tmp_path: Path) -> None:
    process, entry = holder(tmp_path)
    assert entry.read_bytes()

    end(process)

    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    killed, left = holder(tmp_path)
    living, kept = holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert left.is_file()

    cache = BundleCache(tmp_path)
    own = cache.put(NAME, DATA)

    assert not left.exists()
    assert kept.is_file()
    assert own.is_file()
    end(living)
    cache.close()


def test_folders_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loadgen-bundle-x").mkdir()
    (tmp_path / "loadgen-bundle-link").symlink_to(tmp_path / "loadgen-bundle-x")
    (tmp_path / "loadgen-bundle-file").write_text("")

    assert remove_abandoned(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_a_forked_child_removes_nothing(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    entry = cache.put(NAME, DATA)
    child = os.fork()
    if child == 0:
        cache.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert entry.is_file()
    cache.close()

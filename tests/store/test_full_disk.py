"""A disk that is really full, where the system lets us make one; test_run_file has the same with a page limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_commits_go_on_once_a_full_disk_is_freed(tmp_path: Path) -> None:
    mounted = (
        f"mount -t tmpfs -o size=600k none {tmp_path} && exec {sys.executable} -m tests.store.full_disk {tmp_path}"
    )
    try:
        may = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", tmp_path], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no unshare on this machine")
    if may.returncode:
        pytest.skip("a small disk can only be mounted by root")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "100 commits, 20 refused\n"

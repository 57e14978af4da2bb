"""Bundles are paid for by those who use them, every refusal is documented, and `check --bundle` shows what is sent."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.bundle import Bundle, BundleFile
from loadgen.cli.bundling import bundle_lines
from loadgen.cli.terminal.style import Style
from loadgen.units import format_bytes
from loadgen.wire.bundle_format import DEFAULT_LIMITS, HARD_LIMITS

from .helpers import SHOP, write
from .test_files import FILES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bundles.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("loadgen", "loadgen.bundle loadgen.wire"),
        ("loadgen.scenario", "loadgen.bundle loadgen.wire"),
        ("loadgen.bundle", "loadgen.master loadgen.worker loadgen.web loadgen.cli zmq numpy"),
    ],
)
def test_importing_one_does_not_load_the_other(imported: str, absent: str) -> None:
    code = f"import sys, {imported}\nassert not set({absent.split()!r}) & set(sys.modules), sys.modules.keys()"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_every_code_and_limit_is_documented() -> None:
    sources = [path.read_text() for path in (ROOT / "loadgen" / "wire").glob("bundle_*.py")]
    codes = {code for source in sources for code in re.findall(r"LG\d{3}", source)}

    assert codes == set(re.findall(r"^\| (LG\d{3}) \|", PAGE, re.MULTILINE))
    for limits in (DEFAULT_LIMITS, HARD_LIMITS):
        assert f"{format_bytes(limits.total_bytes).replace('.0', '')}" in PAGE
        assert f"{limits.files:,}" in PAGE


def test_check_lists_what_travels(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "prices.py": "", "shop.py": f"import prices\nfiles = ['data/*']\n{SHOP}"})
    command = [sys.executable, "-m", "loadgen", "check", str(tmp_path / "shop.py"), "--no-requests", "--bundle"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)

    for text in ("data/one.json", "prices.py", "shop.py", "the scenario", "4 files, ", "sha256 "):
        assert text in done.stdout
    assert "users.csv" not in done.stdout


def test_check_says_what_cannot_travel(tmp_path: Path) -> None:
    write(tmp_path, {"shop.py": f"files = ['none.csv']\n{SHOP}"})
    command = [sys.executable, "-m", "loadgen", "check", str(tmp_path / "shop.py"), "--no-requests", "--bundle"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 4
    assert "error[LG123]" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_from_outside_cannot_steer_the_terminal() -> None:
    name = "caf\u00e9\u202e\x1b[31m.py"
    bundle = Bundle("0" * 64, name, (BundleFile(name, 2_048, "0" * 64),), b"x" * 1_024, (("common", "/x/\x1b.py"),))

    text = "\n".join(bundle_lines(bundle, 100, Style()))

    assert "\x1b" not in text
    assert "\u202e" not in text
    for part in ("2.0 KiB", "1.0 KiB", "common is not in it: /x/"):
        assert part in text

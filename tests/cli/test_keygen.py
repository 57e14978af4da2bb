from __future__ import annotations

import stat
from pathlib import Path

import pytest

from loadgen.cli.main import invoke
from loadgen.wire.keys import parse_secret


def test_a_secret_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["keygen"]) == 0
    first = capsys.readouterr().out
    assert invoke(["keygen"]) == 0

    assert len(parse_secret(first)) == 32
    assert first.count("\n") == 1
    assert first != capsys.readouterr().out


def test_a_secret_file_is_only_for_its_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "secret"
    assert invoke(["keygen", "--out", str(file)]) == 0

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert parse_secret(file.read_text()).hex() not in "".join(capsys.readouterr())


def test_a_secret_in_use_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, link = tmp_path / "secret", tmp_path / "link"
    file.write_text("in use")
    link.symlink_to(tmp_path / "elsewhere")

    for path in (file, link, tmp_path / "no" / "folder"):
        assert invoke(["keygen", "--out", str(path)]) == 4
        assert str(path) in capsys.readouterr().err
    assert file.read_text() == "in use"
    assert not (tmp_path / "elsewhere").exists()

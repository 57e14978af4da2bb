from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadgen.cli.joining import joining_of
from loadgen.errors import ConfigError
from loadgen.limits import cores
from loadgen.settings import RunSettings

SECRET = "5e" * 32


def settings(**changes: Any) -> RunSettings:
    return RunSettings(**{"users": 1_000, **changes})


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADGEN_SECRET", SECRET)


@pytest.mark.parametrize(
    ("changes", "local", "remote"),
    [
        ({"workers": "auto"}, cores(), 0),
        ({"workers": "auto", "users": 1}, 1, 0),
        ({"workers": 3}, 3, 0),
        ({"workers": "inline"}, 1, 0),
        ({"workers": "none", "listen": "127.0.0.1:0", "expect_workers": 5}, 0, 5),
        ({"workers": 2, "listen": "127.0.0.1:0", "expect_workers": 5}, 2, 5),
        ({"workers": 2, "listen": "127.0.0.1:0"}, 2, 0),
    ],
)
def test_a_run_begins_with_the_workers_of_both_kinds(changes: dict[str, Any], local: int, remote: int) -> None:
    joining = joining_of(settings(**changes))

    assert (joining.local, joining.remote, joining.expected) == (local, remote, local + remote)


def test_nobody_can_join_a_run_that_does_not_listen() -> None:
    joining = joining_of(settings(workers=2))

    assert joining.listen is None
    assert joining.secret is None


def test_a_worker_in_this_process_has_no_lease_for_a_breakpoint_may_hold_it_up() -> None:
    assert joining_of(settings(workers="inline", lease_s=3.0)).lease_s is None
    assert joining_of(settings(workers=1, lease_s=3.0)).lease_s == 3.0


def test_the_secret_file_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("ab" * 32 + "\n")

    assert joining_of(settings(workers=1, listen="h:1")).secret == bytes.fromhex(SECRET)
    assert joining_of(settings(workers=1, listen="h:1", secret_file=str(file))).secret == b"\xab" * 32


@pytest.mark.parametrize("address", ["0.0.0.0:5557", "127.0.0.1:0"])
def test_listening_without_a_secret_is_refused_with_how_to_make_one(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOADGEN_SECRET")
    with pytest.raises(ConfigError) as raised:
        joining_of(settings(listen=address, expect_workers=1, workers="none"))

    text = raised.value.render()
    assert address in text
    assert "loadgen keygen --out secret" in text
    assert "LOADGEN_SECRET" in text


LISTEN = {"listen": "127.0.0.1:0"}


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"expect_workers": 2}, "--listen"),
        ({"workers": "none"}, "--listen"),
        ({"workers": "none", **LISTEN}, "--expect-workers"),
        ({"workers": "inline", **LISTEN}, "--workers inline"),
        ({"workers": 1, "expect_workers": 2, "min_workers": 4, **LISTEN}, "more than the 3"),
        ({"workers": 1, "listen": "somewhere"}, "HOST:PORT"),
        ({"workers": 1, "secret_file": "/no/such/file", **LISTEN}, "/no/such/file"),
        ({"workers": 1, "secret_file": __file__, **LISTEN}, "not 64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(changes: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        joining_of(settings(**changes))

    assert hint in raised.value.render()

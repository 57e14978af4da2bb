from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.__main__ import needs_gevent
from loadgen.cli import main
from loadgen.cli.exits import EXIT_CODES, ORDER
from loadgen.cli.main import VERBS, invoke
from loadgen.errors import ConfigError, LoadgenError, ScenarioError, TargetError, WorkersMissing

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("gevent", "zmq", "numpy", "flask", "httptools", "msgpack")


def loadgen(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadgen", *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("argv", [["--help"], ["--version"], [], *([verb, "--help"] for verb in VERBS)])
def test_asking_loads_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['loadgen', *sys.argv[1:]]\n"
        "from loadgen.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "shop.py"], True),
        (["quick", "http://localhost"], True),
        (["worker", "--master", "x"], True),
        (["run", "--help"], False),
        (["--version"], False),
        (["rnu"], False),
        ([], False),
    ],
)
def test_only_verbs_that_run_load_are_patched(argv: list[str], expected: bool) -> None:
    assert needs_gevent(argv) is expected


@pytest.mark.parametrize("verb", list(VERBS))
def test_the_help_of_a_verb_fits_on_a_screen_with_examples_on_top(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert lines.index("Examples:") < lines.index("Options:")


def test_the_help_of_loadgen_names_each_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["--help"]) == 0
    out = capsys.readouterr().out

    assert len(out.splitlines()) <= 40
    for word in (*VERBS, *EXIT_CODES.values()):
        assert word in out


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["rnu"], 'Did you mean "run"?'),
        (["shop.py"], 'Did you mean "loadgen run shop.py"?'),
        (["quick", "http://x/", "--duratoin", "3s"], "--duration"),
        (["quick"], "URL"),
        (["zzzz"], "The verbs are: run, quick"),
    ],
)
def test_a_typing_mistake_is_answered_with_what_was_meant(
    argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(argv) == 4
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong flag"), 4),
        (ScenarioError("no user class", code="LG101"), 4),
        (TargetError("refused"), 7),
        (WorkersMissing("2 of 4"), 8),
        (LoadgenError("other"), 3),
        (RuntimeError("a bug"), 3),
        (KeyboardInterrupt(), 2),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main.cli, "main", raising(error))

    assert invoke([]) == code
    err = capsys.readouterr().err
    assert ("Traceback" in err) is isinstance(error, RuntimeError)


def raising(error: BaseException) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_escapes_in_an_error_message_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    invoke(["\x1b[2Jboo"])

    assert "\x1b" not in capsys.readouterr().err


def test_every_exit_code_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted(EXIT_CODES)


def test_the_version_is_printed() -> None:
    done = loadgen("--version")

    assert done.returncode == 0
    assert done.stdout.startswith("loadgen ")

"""Every code block of docs/scenarios.md is a scenario that works, and its tables are true."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

import loadgen.iterating
from loadgen import HttpUser, events
from loadgen.arguments import parse_custom
from loadgen.hooks import Events
from loadgen.importing import forget
from loadgen.scenario import load_scenario
from tests.support.target import Target

from .helpers import is_closed, make_environment, spawn

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scenarios.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ITERATIONS = 12


@pytest.fixture
def scenario_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a block is written to; waits take no time, and the process is left as it was."""
    monkeypatch.setattr(loadgen.iterating, "sleep", lambda seconds: gevent.sleep(0))
    recorder, path = events.request.recorder, list(sys.path)
    file = tmp_path / "from_the_docs.py"
    yield file
    forget(file)
    events.request.recorder = recorder
    sys.path[:] = path


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"class (\w+)", block)[-1])
def test_each_block_is_a_scenario_that_runs_without_an_error(
    block: str, scenario_file: Path, counting_target: Target
) -> None:
    scenario_file.write_text(block)
    scenario = load_scenario(scenario_file)
    options = parse_custom(events, [])
    errors: list[str] = []
    for user_class in scenario.user_classes:
        environment = make_environment(host=counting_target.url, events=events, parsed_options=options)
        recorder = environment.recorder
        user = user_class(environment)
        with gevent.Timeout(20):
            greenlet = spawn(user)
            while recorder.books.started < ITERATIONS and not greenlet.dead:
                gevent.sleep(0.001)
            user.request_stop()
            greenlet.join()
        errors += [str(key) for key in recorder.notes.errors.task_groups]
        if environment.has_http:
            environment.http.close()

        assert recorder.books.started >= ITERATIONS
        assert recorder.books.failed == recorder.books.cancelled == 0
        assert is_closed(recorder)
    assert not errors


def test_every_event_and_code_is_named() -> None:
    for hook in Events().all():
        assert f"`{hook.name}`" in PAGE
    codes = {code for file in (ROOT / "loadgen").glob("*.py") for code in re.findall(r"LG1\d\d", file.read_text())}

    assert codes == set(re.findall(r"^\| (LG1\d\d) \|", PAGE, re.MULTILINE))


def test_the_defaults_in_the_tables_are_those_of_the_classes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    found = {name: default for name, default in rows if hasattr(HttpUser, name)}

    assert len(found) >= 12
    for name, default in found.items():
        if name == "wait_time":
            assert default == "constant(0)"
            assert HttpUser.wait_time(None) == 0
        elif name != "abstract":
            assert repr(getattr(HttpUser, name)) == default

"""Every code block of docs/data.md is a scenario that works, and its tables are true."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

import loadgen.iterating
from loadgen import data, events
from loadgen.data_pickers import Strategy
from loadgen.data_port import OnEnd
from loadgen.importing import forget
from loadgen.scenario import load_scenario
from tests.scenario_api.helpers import is_closed, make_environment, spawn
from tests.support.target import Target

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = re.findall(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
ITERATIONS = 12


@pytest.fixture
def scenario_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a block is written to, beside the files of the page; waits take no time."""
    monkeypatch.setattr(loadgen.iterating, "sleep", lambda seconds: gevent.sleep(0))
    recorder, path = events.request.recorder, list(sys.path)
    for name, content in FILES:
        (tmp_path / name).write_text(content)
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
    for user_class in load_scenario(scenario_file).user_classes:
        environment = make_environment(host=counting_target.url, events=events)
        recorder = environment.recorder
        with gevent.Timeout(20):
            user = user_class(environment)
            greenlet = spawn(user)
            while recorder.books.started < ITERATIONS and not greenlet.dead:
                gevent.sleep(0.001)
            user.request_stop()
            greenlet.join()
        if environment.has_http:
            environment.http.close()

        assert not recorder.notes.errors.task_groups
        assert recorder.books.started >= ITERATIONS
        assert recorder.books.failed == recorder.books.cancelled == 0
        assert is_closed(recorder)
        assert all(check[1] == 0 for check in recorder.notes.checks.values())


def test_every_strategy_end_and_code_is_described() -> None:
    rows = re.findall(r'^\| `"(\w+)"`', PAGE, re.MULTILINE)
    assert set(rows) == {*Strategy, *OnEnd}

    sources = [path.read_text() for path in (ROOT / "loadgen").glob("data*.py")]
    codes = {code for source in sources for code in re.findall(r"LG7\d\d", source)}
    assert codes == set(re.findall(r"LG7\d\d", PAGE))


def test_the_defaults_are_those_of_the_code() -> None:
    assert f'`"{data.DEFAULT_STRATEGY}"` (default)' in PAGE
    options = inspect.signature(data.csv).parameters
    shown = ", ".join(f"{name}={options[name].default!r}" for name in ("delimiter", "encoding", "columns"))
    assert f"data.csv(path, {shown})".replace("'", '"') in PAGE
    assert inspect.signature(data.json).parameters.keys() == inspect.signature(data.csv).parameters.keys() - {
        "delimiter",
        "encoding",
        "columns",
    }

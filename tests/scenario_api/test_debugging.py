"""run_single_user: one user, here and now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from loadgen import HttpUser, StopTest, StopUser, User, events, run_single_user, task
from tests.support.target import Target


@pytest.fixture(autouse=True)
def _events_as_before() -> Iterator[None]:
    recorder = events.request.recorder
    yield
    events.request.recorder = recorder


def test_a_single_user_lives_and_prints_its_requests(
    counting_target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    class Visitor(HttpUser):
        host = counting_target.url

        @task
        def look(self) -> None:
            self.client.get("/status/200", name="/looked")
            with self.measure("db", "reserve"):
                pass
            raise StopUser

    run_single_user(Visitor, include_length=True, include_time=True, include_context=True, include_payload=True)
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split() == ["type", "name", "ms", "bytes", "error"]
    assert lines[1].split()[:2] == ["GET", "/looked"]
    assert lines[2].split()[:2] == ["db", "reserve"]
    assert counting_target.count() == 1
    assert not events.request.listeners


def test_exceptions_come_out_where_a_debugger_sees_them() -> None:
    class Visitor(User):
        @task
        def look(self) -> None:
            raise ValueError("look here")

    with pytest.raises(ValueError, match="look here"):
        run_single_user(Visitor, loglevel=None)


@pytest.mark.parametrize("how", ["StopTest", "quit"])
def test_the_run_can_be_ended_from_inside(how: str) -> None:
    log: list[str] = []

    class Visitor(User):
        @task
        def look(self) -> None:
            log.append("look")
            if how == "StopTest":
                raise StopTest
            runner: Any = self.environment.runner
            runner.quit()

        def on_stop(self) -> None:
            log.append("stop")

    run_single_user(Visitor)

    assert log == ["look", "stop"]


def test_listeners_of_the_run_are_told() -> None:
    told: list[str] = []

    class Visitor(User):
        @task
        def look(self) -> None:
            runner: Any = self.environment.runner
            assert (runner.worker_count, runner.worker_index, runner.user_count) == (1, 0, 1)
            assert dict(runner.target_user_classes_count) == {"Visitor": 1}
            raise StopUser

    def started(**_: Any) -> None:
        told.append("start")

    def stopped(**_: Any) -> None:
        told.append("stop")

    events.test_start.add_listener(started)
    events.test_stop.add_listener(stopped)
    try:
        run_single_user(Visitor)
    finally:
        events.test_start.remove_listener(started)
        events.test_stop.remove_listener(stopped)

    assert told == ["start", "stop"]

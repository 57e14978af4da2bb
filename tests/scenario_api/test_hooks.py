"""Events: registering, firing, failing listeners, and requests a scenario fires itself."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen import StopTest, StopUser
from loadgen.errors import RequestError
from loadgen.hooks import EventHook, Events, failure_of
from loadgen.metrics.recorder import Recorder

from .helpers import make_environment

LOCUST_EVENTS = [
    "request",
    "user_error",
    "report_to_master",
    "worker_report",
    "worker_connect",
    "spawning_complete",
    "quitting",
    "quit",
    "init",
    "init_command_line_parser",
    "test_start",
    "test_stopping",
    "test_stop",
    "reset_stats",
    "cpu_warning",
    "heartbeat_sent",
    "heartbeat_received",
    "usage_monitor",
]


def outcomes(recorder: Recorder, method: str, name: str) -> dict[str, int]:
    return dict(recorder.series(method, name).outcomes)


def test_every_event_of_locust_is_there_under_its_name() -> None:
    hooks = {hook.name: hook for hook in Events().all()}

    assert list(hooks) == LOCUST_EVENTS


def test_listeners_are_called_in_order_with_the_arguments() -> None:
    hook = EventHook("test")
    log: list[Any] = []
    hook.add_listener(lambda **kw: log.append(("first", kw)))

    @hook.add_listener
    def second(**kw: Any) -> None:
        log.append(("second", kw))

    hook.fire(number=1)
    assert log == [("first", {"number": 1}), ("second", {"number": 1})]

    log.clear()
    hook.fire(reverse=True, number=2)
    assert [name for name, _ in log] == ["second", "first"]

    log.clear()
    hook.remove_listener(second)
    hook.fire(number=3)
    assert [name for name, _ in log] == ["first"]


def test_a_failing_listener_is_reported_once_counted_and_hinders_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hook = EventHook("request")
    heard: list[int] = []

    @hook.add_listener
    def broken(**_: Any) -> None:
        raise ValueError("bad listener")

    hook.add_listener(lambda **_: heard.append(1))
    for _ in range(3):
        hook.fire()

    assert heard == [1, 1, 1]
    assert hook.errors == 3
    assert len(caplog.records) == 1
    assert "broken" in caplog.text
    assert "bad listener" in caplog.text


@pytest.mark.parametrize("flow", [StopUser, StopTest])
def test_flow_exceptions_go_through(flow: type[Exception]) -> None:
    hook = EventHook("request")

    @hook.add_listener
    def stop(**_: Any) -> None:
        raise flow

    with pytest.raises(flow):
        hook.fire()


def test_a_listener_may_remove_itself_while_the_event_fires() -> None:
    hook = EventHook("test")
    log: list[str] = []

    @hook.add_listener
    def once(**_: Any) -> None:
        hook.remove_listener(once)
        log.append("once")

    hook.add_listener(lambda **_: log.append("always"))
    hook.fire()
    hook.fire()

    assert log == ["once", "always", "always"]


def test_a_request_that_a_scenario_fires_is_recorded_once_and_heard() -> None:
    environment = make_environment()
    heard: list[str] = []
    environment.events.request.add_listener(lambda name, **_: heard.append(name))
    environment.events.request.fire(
        request_type="GRPC", name="Say", response_time=12.5, response_length=100, response=None, context={}
    )
    environment.events.request.fire(
        request_type="GRPC", name="Say", response_time=1, response_length=0, exception=ValueError("no answer")
    )

    series = environment.recorder.series("GRPC", "Say")
    assert heard == ["Say", "Say"]
    assert series.outcomes == {"exception": 1}
    assert sum(tally.bytes for tally in series.tallies.values()) == 100
    assert sorted(tally.sum_us for tally in series.tallies.values()) == [1000, 12_500]


def test_what_the_engine_fires_is_heard_by_the_same_listeners_but_not_recorded_again() -> None:
    environment = make_environment()
    heard: list[str] = []
    environment.events.request.add_listener(lambda name, **_: heard.append(name))
    environment.events.request.finished.fire(request_type="GET", name="/", response_time=1, response_length=0)

    assert heard == ["/"]
    assert (
        environment.recorder.series("GET", "/")
        .tallies[next(iter(environment.recorder.series("GET", "/").tallies))]
        .sum_us
        == 0
    )


def test_measure_of_an_event_times_the_block_and_swallows_its_exception() -> None:
    environment = make_environment()
    with environment.events.request.measure("DB", "select") as meta:
        meta["response_length"] = 7
    with environment.events.request.measure("DB", "insert"):
        raise KeyError("row")

    assert outcomes(environment.recorder, "DB", "insert") == {"exception": 1}
    assert sum(t.bytes for t in environment.recorder.series("DB", "select").tallies.values()) == 7


def test_errors_of_loadgen_keep_their_category() -> None:
    class Refused(RequestError):
        category, phase, fault = "connect_refused", "connect", "network"

    failure = failure_of(Refused("nobody listens"))

    assert (failure.category, failure.phase, failure.fault) == ("connect_refused", "connect", "network")
    assert failure_of(ValueError("x")).message == "ValueError: x"
    assert failure_of(ValueError()).message == "ValueError"
    assert failure_of("text").message == "text"


def test_forgetting_a_module_drops_its_listeners_only() -> None:
    events = Events()

    def own(**_: Any) -> None: ...

    own.__module__ = "old_scenario"
    events.request.add_listener(own)
    events.test_start.add_listener(lambda **_: None)
    events.forget({"old_scenario"})

    assert not events.request.listeners
    assert not events.request.finished.listeners
    assert len(events.test_start.listeners) == 1

"""What scenarios find in `self.environment`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from loadgen import HttpUser, User, task
from loadgen.environment import client_settings
from loadgen.errors import ConfigError
from loadgen.hooks import Events, events
from loadgen.http import tls
from loadgen.http.settings import DEFAULTS
from loadgen.http.tls import TlsSettings
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.snapshot import EndpointTotals, ErrorGroup, Latency, Snapshot, WindowStats
from loadgen.stats import RequestStats

from .helpers import Backend, make_environment


class A(User):
    @task
    def nothing(self) -> None: ...


class B(A):
    weight = 0


def test_classes_of_weight_zero_take_no_part_unless_their_count_is_fixed() -> None:
    fixed = type("Fixed", (A,), {"weight": 0, "fixed_count": 2})

    assert make_environment(user_classes=[A, B, fixed]).user_classes == [A, fixed]
    assert make_environment(user_classes=[A]).user_classes_by_name == {"A": A}


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two user classes are called A"):
        make_environment(user_classes=[A, type("A", (A,), {})])


def test_options_may_come_as_a_map() -> None:
    environment = make_environment(parsed_options={"tenant": "blue"})

    assert environment.parsed_options == Namespace(tenant="blue")


def test_an_environment_without_events_uses_those_of_the_process() -> None:
    recorder_before = events.request.recorder
    try:
        environment = make_environment(events=None)
        assert environment.events is events
        assert events.request.recorder is environment.recorder
    finally:
        events.request.recorder = recorder_before


def test_the_http_engine_is_made_when_it_is_first_used() -> None:
    assert not make_environment().has_http


def test_the_runner_asks_its_backend() -> None:
    backend = Backend()
    environment = make_environment(backend=backend)
    runner: Any = environment.runner
    runner.send_message("hello", {"a": 1}, client_id="w2")
    runner.register_message("reply", print, concurrent=True)
    runner.quit()

    assert backend.sent == [("hello", {"a": 1}, "w2")]
    assert backend.listeners == [("reply", print)]
    assert backend.quits == 1
    assert (runner.user_count, runner.target_user_count, runner.worker_count, runner.worker_index) == (3, 4, 2, 1)
    assert (runner.state, runner.target_user_classes_count) == ("running", {"Shopper": 4})
    assert runner.stats is environment.stats


def test_stop_test_without_a_runner_only_ends_the_user() -> None:
    environment = make_environment(events=Events())
    environment.runner = None
    environment.stop_test()

    assert environment.process_exit_code is None


def latency(*values_us: int) -> Latency:
    histogram = Histogram()
    for value in values_us:
        histogram.add(value)
    return Latency(len(values_us), sum(values_us), min(values_us), max(values_us), histogram)


def test_stats_read_like_those_of_locust() -> None:
    cart = EndpointTotals("POST", "/cart", requests=4, failures=1, bytes=400, response=latency(1000, 2000, 3000))
    group = ErrorGroup("POST", "/cart", "http_5xx", "HTTP #", 1, 0.0, 1.0, "HTTP 500", "HTTP 503")
    snapshot = Snapshot(
        elapsed_s=2.0,
        totals=cart,
        endpoints=(cart,),
        errors=(group,),
        window=WindowStats(rps=7.0, by_name={("POST", "/cart"): 5.0}),
    )
    stats = RequestStats(lambda: snapshot)

    assert (stats.total.num_requests, stats.total.num_failures, stats.total.fail_ratio) == (4, 1, 0.25)
    assert stats.total.avg_response_time == 2.0
    assert (stats.total.min_response_time, stats.total.max_response_time) == (1.0, 3.0)
    assert stats.total.median_response_time == pytest.approx(2.0, rel=0.004)
    assert stats.total.get_response_time_percentile(1.0) == pytest.approx(3.0, rel=0.004)
    assert (stats.total.total_rps, stats.total.current_rps, stats.total.total_fail_per_sec) == (2.0, 7.0, 0.5)
    assert (stats.total.avg_content_length, stats.total.total_content_length) == (100.0, 400)
    assert stats.entries[("/cart", "POST")].current_rps == 5.0
    assert list(stats.entries) == [("/cart", "POST")]
    assert stats.get("/cart", "POST").num_requests == 4
    assert [(error.error, error.occurrences) for error in stats.errors.values()] == [("HTTP 503", 1)]


def test_stats_of_nothing_are_zero() -> None:
    stats = RequestStats()

    assert (stats.num_requests, stats.num_failures, stats.total.fail_ratio, stats.total.total_rps) == (0, 0, 0.0, 0.0)
    assert stats.total.median_response_time == stats.get("/", "GET").avg_content_length == 0.0


def test_class_attributes_become_client_settings() -> None:
    class Shopper(HttpUser):
        connection_timeout = 3
        network_timeout = None
        max_redirects = 2
        default_headers = {"user-agent": "mine", "X-Tenant": "blue"}
        insecure = True

    settings = client_settings(Shopper)

    assert (settings.timeouts.connect_s, settings.timeouts.first_byte_s, settings.timeouts.idle_s) == (3, None, None)
    assert settings.max_redirects == 2
    assert settings.tls.verify is False
    headers = dict(settings.default_headers)
    assert headers["user-agent"] == "mine"
    assert headers["X-Tenant"] == "blue"
    assert "User-Agent" not in headers


def test_a_plain_http_user_has_the_default_settings() -> None:
    assert client_settings(HttpUser) == DEFAULTS


def test_the_tls_settings_of_a_class_reach_its_clients() -> None:
    class Shopper(HttpUser):
        verify = False
        tls_minimum_version = "1.3"
        tls_server_name = "shop.example"

    tls = client_settings(Shopper).tls

    assert (tls.verify, tls.minimum_version, tls.server_name) == (False, "1.3", "shop.example")


NOWHERE = "/nowhere/at/all.pem"


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("verify", NOWHERE, NOWHERE),
        ("verify", Path(NOWHERE), NOWHERE),
        ("verify", 3, "verify=3"),
        ("cert", NOWHERE, NOWHERE),
        ("cert", (NOWHERE, "/nowhere/key.pem"), NOWHERE),
        ("cert", ["a.pem", "b.pem"], "(certificate, key)"),
        ("cert", ("a.pem", "b.pem", "c.pem"), "(certificate, key)"),
        ("tls_minimum_version", "1.1", '"1.2" or "1.3"'),
        ("tls_minimum_version", 1.3, "in quotes"),
        ("tls_server_name", "https://shop.example", "without scheme"),
        ("tls_server_name", "shop.example:443", "without scheme or port"),
        ("tls_server_name", "", "host name"),
        ("connection_timeout", 0, "above 0"),
    ],
)
def test_a_client_setting_that_cannot_work_is_refused_before_any_user_starts(
    attribute: str, value: object, says: str
) -> None:
    cls = type("Shopper", (HttpUser,), {"host": "https://shop.example", attribute: value})
    environment = make_environment(user_classes=[cls])

    with pytest.raises(ConfigError, match="Shopper: ") as caught:
        _ = environment.http

    assert says in caught.value.message
    assert not environment.has_http


def test_files_named_by_a_class_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[TlsSettings] = []
    monkeypatch.setattr(tls, "context_for", read.append)
    cls = type("Shopper", (HttpUser,), {"host": "http://shop.example", "verify": "ca.pem"})
    plain = type("Reader", (HttpUser,), {"host": "http://shop.example"})
    environment = make_environment(user_classes=[cls, plain])

    users = [one(environment) for one in (cls, plain) for _ in range(3)]
    environment.http.close()

    assert len(users) == 6
    assert [one.verify for one in read] == ["ca.pem"]

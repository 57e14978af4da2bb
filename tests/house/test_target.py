"""The target judges everything else, so it is judged first, with the standard library's client."""

from __future__ import annotations

import http.client
import json
import ssl

import pytest

from tests.support.target import Target, target


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.fixture
def connection(counting_target: Target) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", counting_target.port, timeout=10)


def test_it_counts_every_request_by_path_and_method(
    counting_target: Target, connection: http.client.HTTPConnection
) -> None:
    for _ in range(3):
        ask(connection, "/a")
    ask(connection, "/b?x=1", "POST", b"body")

    stats = counting_target.stats()

    assert stats["total"] == 4
    assert stats["requests"] == {"/a": 3, "/b": 1}
    assert stats["methods"] == {"GET": 3, "POST": 1}
    assert stats["statuses"] == {"200": 4}
    connection.close()


def test_it_logs_its_own_durations_and_the_request_ids(
    counting_target: Target, connection: http.client.HTTPConnection
) -> None:
    ask(connection, "/delay/20ms", headers={"X-Request-Id": "one"})
    ask(connection, "/delay/20ms")

    durations = counting_target.durations("/delay/20ms")

    assert len(durations) == 2
    assert min(durations) >= 20_000
    assert counting_target.request_ids("/delay/20ms") == ["one", ""]
    connection.close()


def test_the_mixture_has_one_slow_answer_in_ten(
    counting_target: Target, connection: http.client.HTTPConnection
) -> None:
    for _ in range(10):
        ask(connection, "/mix")

    assert sum(duration >= 200_000 for duration in counting_target.durations("/mix")) == 1
    connection.close()


def test_it_answers_errors_bodies_and_logins(connection: http.client.HTTPConnection) -> None:
    assert ask(connection, "/status/503")[0] == 503
    assert ask(connection, "/bytes/4096") == (200, b"x" * 4096)
    assert ask(connection, "/echo", "POST", b"hello") == (200, b"hello")
    assert ask(connection, "/account")[0] == 401
    token = json.loads(ask(connection, "/login", "POST")[1])["token"]
    assert ask(connection, "/account", headers={"Authorization": f"Bearer {token}"})[0] == 200
    assert ask(connection, "/account", headers={"Cookie": f"session={token}"})[0] == 200
    assert json.loads(ask(connection, "/inspect?q=1")[1])["query"] == {"q": ["1"]}
    connection.close()


def test_a_reset_breaks_the_connection_and_is_counted(
    counting_target: Target, connection: http.client.HTTPConnection
) -> None:
    with pytest.raises(ConnectionError):
        ask(connection, "/reset")

    assert counting_target.count("/reset") == 1
    connection.close()


def test_the_tls_variant_proves_who_it_is() -> None:
    with target(tls=True) as secure:
        trusting = ssl.create_default_context(cafile=str(secure.ca_file))
        connection = http.client.HTTPSConnection("localhost", secure.port, context=trusting, timeout=10)
        assert ask(connection, "/a")[0] == 200
        connection.close()
        assert secure.count("/a") == 1
        stranger = http.client.HTTPSConnection("localhost", secure.port, timeout=10)
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(stranger, "/a")
        stranger.close()

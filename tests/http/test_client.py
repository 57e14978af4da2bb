"""The client as a scenario sees it: what it sends, what it gives back, what it records."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import gevent
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.flow import RescheduleTask
from loadgen.hooks import EventHook
from loadgen.http.client import HttpClient
from loadgen.http.errors import DecodeError, HttpStatusError, InvalidUrl
from loadgen.http.owner import NoOwner
from loadgen.http.response import Response
from loadgen.http.settings import ClientSettings, Timeouts, timeouts_from
from tests.support.badserver import answers, ok, says, serve
from tests.support.clients import Bench, bench


def echo(request: bytes) -> bytes:
    """The request itself, as the body of a response."""
    return ok(request, "Content-Type: text/plain")


def lines_of(raw: bytes) -> list[str]:
    return raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


def test_a_get_sends_what_a_server_expects() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        sent = lines_of(b.client.get("/a?b=c").content)

    assert sent[0] == "GET /a?b=c HTTP/1.1"
    assert sent[1:] == [
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: loadgen",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate, br, zstd",
    ]
    assert b.books.names == {("GET", "/a?b=c")}


BODIES: dict[str, tuple[dict[str, Any], str, bytes]] = {
    "json": ({"json": {"a": 1}}, "Content-Type: application/json", b'{"a":1}'),
    "form": ({"data": {"a": "1", "b": "x y"}}, "Content-Type: application/x-www-form-urlencoded", b"a=1&b=x+y"),
    "bytes": ({"data": b"\x00\xff"}, "Content-Length: 2", b"\x00\xff"),
    "text": ({"data": "é"}, "Content-Length: 2", "é".encode()),
    "nothing": ({}, "Content-Length: 0", b""),
    "iterator": ({"data": iter([b"ab", b"cde"])}, "Transfer-Encoding: chunked", b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"),
    "own type": (
        {"json": {"a": 1}, "headers": {"content-type": "application/x+json"}},
        "content-type: application/x+json",
        b'{"a":1}',
    ),
}


@pytest.mark.parametrize(("arguments", "header", "body"), BODIES.values(), ids=BODIES)
def test_a_post_sends_its_body(arguments: dict[str, Any], header: str, body: bytes) -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        response = b.client.post("/", **arguments)

    head, _, sent = response.content.partition(b"\r\n\r\n")
    assert header in lines_of(head)
    assert sent == body
    assert sum(line.lower().startswith("content-type") for line in lines_of(head)) <= 1


def test_a_file_is_uploaded_as_multipart() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        sent = b.client.post("/", data={"a": "1"}, files={"f": ("x.txt", b"hello", "text/plain")}).content

    assert b"Content-Type: multipart/form-data; boundary=" in sent
    assert b'name="f"; filename="x.txt"' in sent
    assert b"hello" in sent


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000

    def respond(request: bytes) -> bytes:
        return ok(str(len(request.partition(b"\r\n\r\n")[2])).encode())

    with serve(answers(respond)) as server, bench(server.url) as b:
        assert b.client.put("/", data=body).text == str(len(body))
        assert b.client.put("/", data=body).text == str(len(body))

    assert server.connections == 1


def test_headers_of_request_client_and_defaults_are_merged() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        b.client.headers["X-Client"] = "1"
        b.client.headers["User-Agent"] = "mine"
        first = lines_of(b.client.get("/", headers={"x-client": "2", "X-Once": "3", "Accept": None}).content)
        second = lines_of(b.client.get("/").content)
        del b.client.headers["accept"]
        third = lines_of(b.client.get("/", headers={"Host": "other.test"}).content)

    assert [line for line in first if line.lower().startswith("x-")] == ["x-client: 2", "X-Once: 3"]
    assert not any(line.startswith("Accept:") for line in first)
    assert "X-Client: 1" in second
    assert "Accept: */*" in second
    assert "User-Agent: mine" in second
    assert "Accept: */*" not in third
    assert [line for line in third if line.startswith("Host")] == ["Host: other.test"]


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "snow\N{SNOWMAN}"])
def test_a_header_that_would_break_the_request_apart_is_refused_and_nothing_recorded(value: str) -> None:
    with serve(answers(echo)) as server, bench(server.url) as b, pytest.raises(UsageError, match="X-Name"):
        b.client.get("/", headers={"X-Name": value})

    assert b.books.records == (0, 0, 0)
    assert server.requests == []


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://a b/", "http://h:99999/"])
def test_a_url_that_is_none_raises_and_leaves_no_record(url: str) -> None:
    with bench("http://127.0.0.1:1") as b, pytest.raises(InvalidUrl):
        b.client.get(url)

    assert b.books.records == (0, 0, 0)


def test_params_auth_and_cookies_are_sent() -> None:
    with serve(answers(echo)) as server, bench(server.url.replace("//", "//me:pass@")) as b:
        plain = lines_of(b.client.get("/", params={"q": "a b", "n": [1, 2]}).content)
        other = lines_of(b.client.get("/", auth=("you", "secret"), cookies={"c": "1"}).content)
        b.client.auth = "Bearer token"
        third = lines_of(b.client.get("/").content)

    assert plain[0] == "GET /?q=a+b&n=1&n=2 HTTP/1.1"
    assert "Authorization: Basic bWU6cGFzcw==" in plain
    assert "Authorization: Basic eW91OnNlY3JldA==" in other
    assert "Cookie: c=1" in other
    assert "Authorization: Bearer token" in third
    assert sum(line.startswith("Authorization") for line in third) == 1


def test_cookies_are_kept_and_sent_back() -> None:
    def respond(request: bytes) -> bytes:
        return ok(request, "SET-COOKIE: sid=1; Path=/", "Set-Cookie: lang=de; Path=/x")

    with serve(answers(respond)) as server, bench(server.url) as b:
        first = b.client.get("/")
        sent = lines_of(b.client.get("/x/y").content)

    assert dict(first.cookies) == {"sid": "1", "lang": "de"}
    assert b.client.cookies["sid"] == "1"
    assert "Cookie: lang=de; sid=1" in sent


def test_two_users_of_one_site_share_no_cookies() -> None:
    with serve(answers(lambda r: ok(r, "Set-Cookie: a=1"))) as server, bench(server.url) as b:
        b.client.get("/")
        other = HttpClient(b.engine, server.url, NoOwner(), b.client.settings)
        sent = lines_of(other.get("/").content)
        other.close()

    assert not any(line.startswith("Cookie") for line in sent)


def redirecting(*hops: tuple[str, str], final: Callable[[bytes], bytes] = echo) -> Callable[[bytes], bytes]:
    """hops: (path, response status and Location)."""
    table = dict(hops)

    def respond(request: bytes) -> bytes:
        where = table.get(request.split()[1].decode())
        if where is None:
            return final(request)
        status, location = where.split(" ", 1)
        return ok(b"moved", f"Location: {location}", status=f"{status} Moved")

    return respond


def test_redirects_are_followed_and_leave_one_record_under_the_first_name() -> None:
    with serve(answers(redirecting(("/a", "302 /b"), ("/b", "301 c")))) as server, bench(server.url) as b:
        response = b.client.get("/a")
        bytes_now = b.books.bytes
        stopped = b.client.get("/a", allow_redirects=False)
        head = b.client.head("/a")

    assert response.url == f"{server.url}/c"
    assert [hop.status_code for hop in response.history] == [302, 301]
    assert [hop.url for hop in response.history] == [f"{server.url}/a", f"{server.url}/b"]
    assert (stopped.status_code, head.status_code) == (302, 302)
    assert bytes_now == len(b"moved") * 2 + len(response.content)
    assert b.books.names == {("GET", "/a"), ("HEAD", "/a")}
    assert b.books.records == (3, 0, 0)


@pytest.mark.parametrize(
    ("status", "method", "keeps_body"),
    [("301", "GET", False), ("302", "GET", False), ("303", "GET", False), ("307", "POST", True), ("308", "POST", True)],
)
def test_a_redirected_post_follows_the_rules(status: str, method: str, keeps_body: bool) -> None:
    with serve(answers(redirecting(("/a", f"{status} /b")))) as server, bench(server.url) as b:
        sent = b.client.post("/a", json={"a": 1}).content

    assert sent.startswith(f"{method} /b ".encode())
    assert (b'{"a":1}' in sent) is keeps_body
    assert (b"application/json" in sent) is keeps_body
    assert (b"Content-Length" in sent) is keeps_body


SECRET = ("me", "secret")


def with_default_headers(b: Bench, base: str) -> Response:
    headers = (("Authorization", "Bearer secret"), ("Cookie", "sid=secret"), ("Proxy-Authorization", "Basic secret"))
    client = HttpClient(b.engine, base, NoOwner(), ClientSettings(default_headers=headers))
    try:
        return client.get("/a")
    finally:
        client.close()


def with_client_headers(b: Bench, base: str) -> Response:
    b.client.headers["Authorization"] = "Bearer secret"
    b.client.headers["cookie"] = "sid=secret"
    return b.client.get("/a")


def with_client_auth(b: Bench, base: str) -> Response:
    b.client.auth = SECRET
    return b.client.get("/a")


def with_a_jar_without_a_host(b: Bench, base: str) -> Response:
    client = HttpClient(b.engine, None, NoOwner())
    client.cookies["sid"] = "secret"
    try:
        return client.get(f"{base}/a")
    finally:
        client.close()


CREDENTIALS: dict[str, Callable[[Bench, str], Response]] = {
    "default headers": with_default_headers,
    "client headers": with_client_headers,
    "client auth": with_client_auth,
    "jar without a host": with_a_jar_without_a_host,
    "headers": lambda b, base: b.client.get("/a", headers={"authorization": "secret", "COOKIE": "sid=secret"}),
    "proxy header": lambda b, base: b.client.get("/a", headers={"Proxy-Authorization": "Basic secret"}),
    "auth": lambda b, base: b.client.get("/a", auth=SECRET),
    "cookies": lambda b, base: b.client.get("/a", cookies={"sid": "secret"}),
    "cookies of a post": lambda b, base: b.client.post("/a", json={}, cookies={"sid": "secret"}),
    "the URL": lambda b, base: b.client.get(base.replace("//", "//me:secret@") + "/a"),
}
MEANT_FOR_ONE = ("authorization", "cookie", "proxy-authorization")


def credentials_in(request: bytes) -> list[str]:
    return [line for line in lines_of(request)[1:] if line.lower().startswith(MEANT_FOR_ONE)]


@pytest.mark.parametrize("ask", CREDENTIALS.values(), ids=CREDENTIALS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])  # another port; another host on the same port
def test_credentials_do_not_go_to_another_origin_nor_on_from_there(
    ask: Callable[[Bench, str], Response], host: str
) -> None:
    with serve(answers(redirecting(("/b", "307 /c")))) as other:
        where = other.url if host == "127.0.0.1" else "http://localhost:PORT"
        table: dict[str, str] = {}

        def respond(request: bytes) -> bytes:
            return redirecting(*table.items())(request)

        with serve(answers(respond)) as server, bench(server.url) as b:
            table["/a"] = f"307 {where.replace('PORT', str(server.port))}/b"
            table["/b"] = "307 /c"
            response = ask(b, server.url)
            requests = server.requests + other.requests

    assert response.status_code == 200
    assert len(response.history) == 2
    assert [bool(credentials_in(request)) for request in requests] == [True, False, False]
    assert not any(b"secret" in request for request in requests[1:])


@pytest.mark.parametrize("ask", CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_go_on_within_the_origin(ask: Callable[[Bench, str], Response]) -> None:
    with serve(answers(redirecting(("/a", "307 /b")))) as server, bench(server.url) as b:
        ask(b, server.url)

    first, second = server.requests
    assert credentials_in(first) == credentials_in(second) != []


def test_what_is_no_credential_goes_along_to_another_origin() -> None:
    with (
        serve(answers(echo)) as other,
        serve(answers(redirecting(("/a", f"307 {other.url}/b")))) as server,
        bench(server.url) as b,
    ):
        b.client.headers["X-Kept"] = "1"
        sent = lines_of(b.client.get("/a").content)

    assert "X-Kept: 1" in sent
    assert f"Host: 127.0.0.1:{other.port}" in sent


def test_a_redirect_loop_ends_as_a_failure() -> None:
    few = ClientSettings(max_redirects=5)
    with serve(answers(redirecting(("/a", "302 /a")))) as server, bench(server.url, few) as b:
        response = b.client.get("/a")

    assert response.status_code == 0
    assert len(response.history) == 5
    assert [f.category for f in b.books.failures] == ["too_many_redirects"]
    assert len(server.requests) == 6
    assert server.connections == 1


def test_a_redirect_to_nowhere_is_a_failure() -> None:
    with serve(answers(redirecting(("/a", "302 ftp://x/")))) as server, bench(server.url) as b:
        b.client.get("/a")

    assert [f.category for f in b.books.failures] == ["invalid_redirect"]


def test_a_response_reads_like_one_of_requests() -> None:
    body = json.dumps({"ä": 1}).encode()
    raw = ok(gzip.compress(body), "Content-Type: application/json; charset=utf-8", "Content-Encoding: gzip", "X-A: 1")
    with serve(says(raw)) as server, bench(server.url) as b:
        response = b.client.get("/x")

    assert response.ok
    assert bool(response)
    assert (response.status_code, response.reason) == (200, "OK")
    assert response.headers["x-a"] == response.headers["X-A"] == "1"
    assert response.content == body
    assert response.text == body.decode()
    assert response.json() == {"ä": 1}
    assert response.encoding == "utf-8"
    assert response.url == f"{server.url}/x"
    assert response.request.method == "GET"
    assert response.request.headers["accept"] == "*/*"
    assert response.elapsed.total_seconds() > 0
    assert response.history == []
    assert b"".join(response.iter_content(7)) == body
    response.raise_for_status()
    assert b.books.bytes == len(gzip.compress(body))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "GZIP"])
def test_every_coding_that_is_asked_for_is_undone(coding: str) -> None:
    body = b"some text " * 500
    encode: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "identity": bytes,
    }
    raw = ok(encode[coding.lower()](body), f"Content-Encoding: {coding}")
    with serve(says(raw, raw)) as server, bench(server.url) as b:
        assert b.client.get("/").content == body
        with b.client.get("/", stream=True) as response:
            assert b"".join(response.iter_content(100)) == body

    assert b.books.records == (2, 0, 0)


def test_a_body_that_cannot_be_decoded_fails_where_it_is_read() -> None:
    with serve(answers(lambda r: ok(b"no gzip", "Content-Encoding: gzip"))) as server, bench(server.url) as b:
        response = b.client.get("/")
        with pytest.raises(DecodeError):
            response.json()
        with b.client.get("/", catch_response=True) as caught:
            caught.json()
        with pytest.raises(DecodeError), b.client.get("/", stream=True) as streamed:
            list(streamed.iter_content())

    assert b.books.records == (1, 2, 0)
    assert [f.category for f in b.books.failures] == ["decode_error"] * 2


def test_a_target_that_refuses_does_not_stop_the_other_users() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(0)
            ticks += 1

    with bench("http://127.0.0.1:1") as b:
        other = gevent.spawn(tick)
        for _ in range(20):
            b.client.get("/")
        other.kill()

    assert ticks >= 19


def test_raise_for_status_raises_what_went_wrong() -> None:
    with serve(says(ok(status="503 Busy"))) as server, bench(server.url) as b:
        busy = b.client.get("/")
    with bench("http://127.0.0.1:1") as b:
        lost = b.client.get("/")

    with pytest.raises(HttpStatusError, match="HTTP 503 Busy"):
        busy.raise_for_status()
    with pytest.raises(type(lost.error) if lost.error else ValueError):
        lost.raise_for_status()


def test_what_it_is_recorded_under_can_be_said() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        b.client.get("/1", name="/[id]")
        b.client.get("/2", name="/[id]", headers={"A": "b"})
        b.client.get("/secret?token=abc&a=1")
        with b.client.rename_request("renamed"):
            b.client.get("/3")
        b.client.get("/4")
        b.client.get(f"http://localhost:{server.port}/elsewhere")

    assert {name for _, name in b.books.names} == {
        "/[id]",
        "/secret?token=***&a=1",
        "renamed",
        "/4",
        f"http://localhost:{server.port}/elsewhere",
    }


def test_a_name_of_its_own_costs_no_other_series() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        for n in range(20):
            b.client.get(f"/item/{n}", name="/item/[id]")

    assert [series.name for series in b.books.all_series] == ["(other)", "/item/[id]"]


def test_catch_response_decides_what_is_recorded() -> None:
    with serve(answers(lambda r: ok(status="404 No") if b"/404" in r else ok())) as server, bench(server.url) as b:
        with b.client.get("/404", catch_response=True) as response:
            response.success()
        assert b.books.records == (1, 0, 0)
        with b.client.get("/", catch_response=True) as response:
            response.failure("wrong body")
        assert b.books.records == (1, 1, 0)
        with b.client.get("/404", catch_response=True) as response:
            pass
        with b.client.get("/", catch_response=True) as response:
            response.failure("first")
            response.success()
        with b.client.get("/404", catch_response=True) as response:
            response.raise_for_status()
        with b.client.get("/", catch_response=True) as response:
            response.failure(ValueError("odd"))

    assert b.books.records == (2, 4, 0)
    assert [(f.category, f.message) for f in b.books.failures] == [
        ("check", "wrong body"),
        ("http_4xx", "HTTP 404 No"),
        ("http_4xx", "HTTP 404 No"),
        ("exception", "ValueError: odd"),
    ]


def test_an_exception_in_the_block_is_recorded_and_goes_on() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        with pytest.raises(KeyError), b.client.get("/", catch_response=True):
            raise KeyError("id")
        with pytest.raises(RescheduleTask), b.client.get("/", catch_response=True):
            raise RescheduleTask

    assert b.books.records == (1, 1, 0)
    assert [(f.category, f.fault) for f in b.books.failures] == [("exception", "scenario")]
    assert b.owner.iteration_failed


def test_catch_response_without_a_block_is_recorded_by_its_status() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        response = b.client.get("/", catch_response=True)
        with pytest.raises(UsageError, match="with block"):
            response.failure("no")
        assert b.books.records == (0, 0, 0)
        del response

    assert b.books.records == (1, 0, 0)


def test_a_verdict_without_catch_response_is_refused_with_the_fix() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        response = b.client.get("/")
        with pytest.raises(UsageError, match="catch_response=True"):
            response.failure("no")


def test_a_lost_connection_can_be_judged_too() -> None:
    with bench("http://127.0.0.1:1") as b, b.client.get("/", catch_response=True) as response:
        assert response.status_code == 0
        response.success()

    assert b.books.records == (1, 0, 0)


def test_rest_gives_parsed_json_and_names_the_line_of_a_failure() -> None:
    def respond(request: bytes) -> bytes:
        return ok(b"no json" if b"/text" in request else b'{"id": 7}')

    with serve(answers(respond)) as server, bench(server.url) as b:
        with b.client.rest("GET", "/item") as response:
            assert response.js["id"] == 7
        with b.client.rest("GET", "/item") as response:
            assert response.js["id"] == 8, "wrong id"
        with b.client.rest("POST", "/item", json={"a": 1}) as response:
            response.js["name"]
        with b.client.rest("GET", "/text") as response:
            assert response.js is None
        with b.client.rest_("GET", "/fresh") as response:
            pass

    assert b.books.records == (2, 3, 0)
    messages = [f.message for f in b.books.failures]
    assert messages[0].startswith("wrong id")
    assert "test_client.py:" in messages[0]
    assert messages[1].startswith("KeyError: 'name' at test_client.py:")
    assert messages[2].startswith("the body is no JSON")
    assert b"Accept: application/json" in server.requests[0]
    assert b"GET /fresh?_=" in server.requests[-1]
    assert ("GET", "/fresh") in b.books.names


def test_listeners_of_the_request_event_hear_of_every_request() -> None:
    event = EventHook("request")
    heard: list[dict[str, Any]] = []

    def respond(request: bytes) -> bytes:
        return ok(b"no", status="404 No") if b"/404" in request else ok()

    with serve(answers(respond)) as server, bench(server.url, request_event=event) as b:
        b.client.get("/before")
        event.add_listener(lambda **kwargs: heard.append(kwargs))
        good = b.client.get("/", context={"k": "v"})
        b.client.get("/404", name="missing")

    assert [(h["request_type"], h["name"], h["response_length"]) for h in heard] == [
        ("GET", "/", 5),
        ("GET", "missing", 2),
    ]
    assert heard[0]["response"] is good
    assert heard[0]["context"] == {"k": "v"}
    assert heard[0]["exception"] is None
    assert heard[0]["url"] == f"{server.url}/"
    assert heard[0]["response_time"] > 0
    assert isinstance(heard[1]["exception"], HttpStatusError)
    assert set(heard[0]) == {
        "request_type",
        "name",
        "response_time",
        "response_length",
        "response",
        "context",
        "exception",
        "start_time",
        "url",
    }


def test_the_lateness_of_the_iteration_goes_with_each_record() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        b.owner.wait_us = 5_000_000
        b.client.get("/")
        b.client.post("/")

    rows = [
        (kind.name, tally.min_us >= 5_000_000)
        for s in b.books.all_series
        for kind, tally in s.tallies.items()
        if tally.buckets
    ]
    assert sorted(rows) == [
        ("OK_WAITED_RESPONSE", True),
        ("OK_WAITED_RESPONSE", True),
        ("OK_WAITED_SERVICE", False),
        ("OK_WAITED_SERVICE", False),
    ]


def test_several_greenlets_may_use_one_client() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        greenlets = [gevent.spawn(b.client.get, f"/{n}") for n in range(20)]
        gevent.joinall(greenlets, raise_error=True)
        paths = [g.get().content.split()[1].decode() for g in greenlets]
        idle = len(b.engine.connections)
        for n in range(20):
            b.client.get(f"/again/{n}")

    assert paths == [f"/{n}" for n in range(20)]
    assert idle <= b.client.settings.max_idle_connections + 1
    assert b.books.records == (40, 0, 0)
    assert server.connections == 20


def test_a_request_lets_other_greenlets_run_and_says_so() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        assert not b.owner.has_yielded
        b.client.get("/")
        assert b.owner.has_yielded
        b.owner.has_yielded = False
        b.client.get("/")
        assert b.owner.has_yielded


@pytest.mark.parametrize("timeout", [0, -1, "soon", (1, 2, 3)])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with bench("http://127.0.0.1:1") as b, pytest.raises(Exception, match="timeout"):
        b.client.get("/", timeout=timeout)

    assert b.books.records == (0, 0, 0)


def test_a_timeout_means_what_it_says() -> None:
    assert timeouts_from(120, Timeouts()) == Timeouts(10.0, 120.0, 120.0, 120.0)
    assert timeouts_from((2, 5), Timeouts()) == Timeouts(2, 5, 5, None)
    assert timeouts_from(Timeouts(1.0), Timeouts()) == Timeouts(1.0)


def test_a_streamed_head_is_a_head() -> None:
    with serve(says(ok(b""))) as server, bench(server.url) as b:
        assert b.client.head("/", stream=True).ok

    assert b.books.records == (1, 0, 0)


@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_no_deadline_is_above_the_total(first_byte_s: float, total_s: float) -> None:
    timeouts = Timeouts(1.0, first_byte_s, 1.0, total_s)

    assert timeouts.first_ns <= timeouts.total_ns
    assert timeouts.shortest_ns <= timeouts.first_ns
    assert timeouts.endless.total_ns > timeouts.total_ns


def test_caches_are_bounded() -> None:
    with serve(answers(echo)) as server, bench(server.url) as b:
        site = b.engine.site(server.url, b.client.settings)
        for n in range(5_000):
            site.plan("GET", f"/{n}")
            b.engine.site(f"http://h{n}", b.client.settings)
            b.engine.blocks.get((), {"X": str(n)}, frozenset())
        b.client.get("/")

        assert len(site.gets) <= 2_048
        assert len(b.engine._sites) <= 512
        assert len(b.engine.blocks._known) <= 256

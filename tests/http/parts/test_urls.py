"""From what a scenario writes to where to connect and what to ask for."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.errors import InvalidUrl
from loadgen.http.urls import Target, join, redact, resolve, split, with_params

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9](\.[a-z]{2,5})?", fullmatch=True)
WRITABLE = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.mark.parametrize(
    ("url", "target", "path"),
    [
        ("http://example.com", Target("http", "example.com", 80), "/"),
        ("https://example.com/a/b?c=d#e", Target("https", "example.com", 443), "/a/b?c=d"),
        ("HTTP://EXAMPLE.com:8080?x", Target("http", "example.com", 8080), "/?x"),
        ("http://example.com:/", Target("http", "example.com", 80), "/"),
        ("http://[::1]:9000/x", Target("http", "::1", 9000, True), "/x"),
        ("http://[2001:DB8:0::1]/", Target("http", "2001:db8::1", 80, True), "/"),
        ("http://[fe80::1%25eth0]/", Target("http", "fe80::1%eth0", 80, True), "/"),
        ("https://bücher.example/ä b", Target("https", "xn--bcher-kva.example", 443), "/%C3%A4%20b"),
        ("http://my_service:80/", Target("http", "my_service", 80), "/"),
        ("http://127.0.0.1/a/../b//c", Target("http", "127.0.0.1", 80), "/a/../b//c"),
        ("http://h/%41%zz%2f|^", Target("http", "h", 80), "/%41%25zz%2f%7C%5E"),
        ("http://h/a\r\nX: y", Target("http", "h", 80), "/a%0D%0AX:%20y"),
        (" http://h/a ", Target("http", "h", 80), "/a"),
        ("http://h.example./", Target("http", "h.example.", 80), "/"),
    ],
)
def test_a_url_says_where_to_connect_and_what_to_ask_for(url: str, target: Target, path: str) -> None:
    assert split(url) == (target, path, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "localhost:8080/x",
        "ftp://example.com/",
        "http://",
        "http:///x",
        "http://:80/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:8o/",
        "http://h:+80/",
        "http://h:٨٠/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[127.0.0.1]/",
        "http://[fe80::1%25a b]/",
        "http://a b/",
        "http://a\r\nb/",
        "http://a%2eb/",
        "http://a..b/",
        "http://.a/",
        "http://a\\@b/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "com/",
        "http://h/\ud800",
    ],
)
def test_what_is_no_http_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        split(url)

    assert caught.value.category == "invalid_url"
    assert caught.value.fault == "scenario"


def test_a_path_without_a_host_says_how_to_give_one() -> None:
    with pytest.raises(InvalidUrl, match="no host is set") as caught:
        split("/cart")

    assert "-H https://" in caught.value.render()


@pytest.mark.parametrize(
    ("base", "url", "whole"),
    [
        ("http://h", "/x", "http://h/x"),
        ("http://h/", "/x", "http://h/x"),
        ("http://h", "x", "http://h/x"),
        ("http://h/api", "/x", "http://h/api/x"),
        ("http://h/api/", "x?y=1", "http://h/api/x?y=1"),
        ("http://h/api?a=1#f", "?b=2", "http://h/api?b=2"),
        ("http://h/api?a=1", "", "http://h/api?a=1"),
        ("http://h", "//x", "http://h//x"),
        ("http://h", "https://other/x", "https://other/x"),
        ("http://h", "/go?to=http://other/", "http://h/go?to=http://other/"),
        (None, "http://h/x", "http://h/x"),
    ],
)
def test_a_scenario_s_path_goes_under_its_host(base: str | None, url: str, whole: str) -> None:
    assert join(base, url) == whole


@given(NAMES, st.integers(1, 65535), WRITABLE)
def test_what_is_sent_is_ascii_without_spaces_and_says_what_was_written(host: str, port: int, path: str) -> None:
    written = "/" + path.replace("#", "").replace("?", "").replace("%", "").strip()

    target, sent, _ = split(f"http://{host}:{port}{written}")

    assert (target.host, target.port) == (host, port)
    assert re.fullmatch(r"/[!-~]*", sent)
    assert unquote(sent) == written


@given(NAMES, WRITABLE)
def test_splitting_what_was_split_changes_nothing(host: str, path: str) -> None:
    target, sent, _ = split(f"https://{host}/{path}")

    assert split(target.origin + sent) == (target, sent, None)


@given(st.text(max_size=40))
def test_any_text_is_either_a_url_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://h/{text}"):
        try:
            target, sent, _ = split(url, "http://base/x")
        except InvalidUrl:
            continue

        assert re.fullmatch(r"/[!-~]*", sent)
        assert re.fullmatch(r"[!-~]+", target.authority)


@pytest.mark.parametrize(
    ("target", "authority", "where"),
    [
        (Target("http", "h", 80), "h", "h:80"),
        (Target("https", "h", 80), "h:80", "h:80"),
        (Target("https", "fe80::1%eth0", 443, True), "[fe80::1]", "[fe80::1%eth0]:443"),
        (Target("http", "::1", 81, True), "[::1]:81", "[::1]:81"),
    ],
)
def test_the_host_header_leaves_out_default_ports_and_zones(target: Target, authority: str, where: str) -> None:
    assert target.authority == authority
    assert target.where == where


@given(NAMES, st.text(min_size=1, max_size=9), st.text(max_size=9))
def test_a_name_and_password_in_the_url_are_taken_out_as_written(host: str, user: str, password: str) -> None:
    target, path, userinfo = split(f"http://{quote(user, safe='')}:{quote(password, safe='')}@{host}/x")

    assert (target.host, path) == (host, "/x")
    assert userinfo == (user, password)


@pytest.mark.parametrize(
    ("params", "url"),
    [
        (None, "http://h/x#f"),
        ({}, "http://h/x#f"),
        ({"a": None}, "http://h/x#f"),
        ({"a": 1, "b": [2, None, "3"]}, "http://h/x?a=1&b=2&b=3#f"),
        ([("a", "ä b"), ("a", b"\xff&")], "http://h/x?a=%C3%A4+b&a=%FF%26#f"),
        ("raw=1", "http://h/x?raw=1#f"),
        (b"raw=\xc3\xa4", "http://h/x?raw=%C3%A4#f"),
    ],
)
def test_parameters_go_between_path_and_fragment(params: object, url: str) -> None:
    assert with_params("http://h/x#f", params) == url  # type: ignore[arg-type]


@pytest.mark.parametrize(("url", "joined"), [("/x?a=1", "/x?a=1&b=2"), ("/x?", "/x?b=2"), ("/x?a&", "/x?a&b=2")])
def test_parameters_are_added_to_those_of_the_url(url: str, joined: str) -> None:
    assert with_params(url, {"b": 2}) == joined


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_a_server_reads_back_the_parameters_we_were_given(pairs: list[tuple[str, str]]) -> None:
    _, path, _ = split(with_params("http://h/x", pairs))

    assert parse_qsl(path.partition("?")[2], keep_blank_values=True) == pairs


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("/x", "http://h/x"),
        ("x", "http://h/a/x"),
        ("../x", "http://h/x"),
        ("?q", "http://h/a/b?q"),
        ("//other/x", "http://other/x"),
        ("https://other/x#f", "https://other/x#f"),
    ],
)
def test_a_redirect_is_resolved_by_the_rules_of_rfc_3986(reference: str, whole: str) -> None:
    assert resolve("http://h/a/b", reference) == whole == urljoin("http://h/a/b", reference)


def test_a_reference_that_cannot_be_resolved_is_an_invalid_url() -> None:
    with pytest.raises(InvalidUrl):
        resolve("http://h/", "http://[x/")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pw@h/x?a=1", "http://h/x?a=1"),
        ("user:pw@h/x", "h/x"),
        ("//user:pw@h/x", "//h/x"),
        ("http://user:p/w@h/x", "http://h/x"),
        ("http://h:80/@me", "http://h:80/@me"),
        ("/x?token=abc&b=2", "/x?token=***&b=2"),
        ("/x?Access_Token=abc;b=2", "/x?Access_Token=***;b=2"),
        ("/x?b=2&api-key=abc#access_token=def", "/x?b=2&api-key=***#access_token=***"),
        ("/x?p%61ssword=abc", "/x?p%61ssword=***"),
        ("/x?X-Amz-Signature=abc&AWSAccessKeyId=def", "/x?X-Amz-Signature=***&AWSAccessKeyId=***"),
        ("/x?monkey=1&design=2&author=3&postcode=4&sigma=5", "/x?monkey=1&design=2&author=3&postcode=4&sigma=5"),
        ("/x?token=", "/x?token="),
        ("", ""),
    ],
)
def test_a_reported_url_has_no_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(st.text())
def test_redacting_never_fails_and_is_done_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(
    NAMES, st.sampled_from(["password", "token", "client_secret", "api_key", "sig", "SESSION_ID"]), st.text(min_size=1)
)
def test_a_secret_value_never_appears_however_it_is_written(host: str, key: str, value: str) -> None:
    secret = f"S3cr{value}t"

    shown = redact(f"https://{quote(secret, safe='')}:{quote(secret, safe='')}@{host}/?{key}={quote(secret, safe='')}")

    assert "S3cr" not in shown

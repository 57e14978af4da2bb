"""What is asked next when a response says "elsewhere"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.errors import InvalidRedirect, TooManyRedirects
from loadgen.http.redirects import BODY_HEADERS, CREDENTIAL_HEADERS, Redirect, next_request

HERE = "https://shop.example/a/b"


def follow(status: int = 302, location: str | None = "/next", method: str = "GET", url: str = HERE) -> Redirect | None:
    return next_request(method, url, status, location)


@pytest.mark.parametrize(
    ("status", "method", "next_method"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (301, "HEAD", "HEAD"),
        (302, "POST", "GET"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (307, "GET", "GET"),
        (308, "POST", "POST"),
        (308, "PATCH", "PATCH"),
    ],
)
def test_the_status_decides_the_next_method_and_whether_the_body_goes_along(
    status: int, method: str, next_method: str
) -> None:
    redirect = follow(status, method=method)

    assert redirect is not None
    assert redirect.method == next_method
    assert redirect.keeps_body == (method == next_method)
    assert redirect.dropped_headers == (frozenset() if redirect.keeps_body else BODY_HEADERS)


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 309, 399, 404, 500])
def test_any_other_status_is_final_even_with_a_location(status: int) -> None:
    assert follow(status) is None


@pytest.mark.parametrize("location", [None, "", "  "])
def test_a_redirect_without_a_location_is_final(location: str | None) -> None:
    assert follow(302, location) is None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/next", "https://shop.example/next"),
        ("next?x=1", "https://shop.example/a/next?x=1"),
        ("https://shop.example:443/x", "https://shop.example:443/x"),
        ("HTTPS://SHOP.example/x", "https://SHOP.example/x"),
        ("/stra\u00c3\u009fe", "https://shop.example/straße"),
        ("/stra\u00dfe", "https://shop.example/straße"),
        (" /x ", "https://shop.example/x"),
        ("?q", "https://shop.example/a/b?q"),
    ],
)
def test_a_location_on_the_same_origin_keeps_the_credentials(location: str, url: str) -> None:
    redirect = follow(302, location)

    assert redirect is not None
    assert redirect.url == url
    assert not redirect.is_cross_origin
    assert redirect.dropped_headers == frozenset()


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/",
        "//other.example/x",
        "http://shop.example/",
        "https://shop.example:8443/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
    ],
)
def test_another_origin_gets_no_credentials(location: str) -> None:
    redirect = follow(307, location)

    assert redirect is not None
    assert redirect.is_cross_origin
    assert redirect.dropped_headers == CREDENTIAL_HEADERS
    assert {"authorization", "cookie", "proxy-authorization"} <= redirect.dropped_headers


def test_a_post_that_becomes_a_get_elsewhere_loses_both_kinds_of_headers() -> None:
    redirect = follow(302, "https://other.example/", "POST")

    assert redirect is not None
    assert redirect.dropped_headers == CREDENTIAL_HEADERS | BODY_HEADERS


@pytest.mark.parametrize(
    "location", ["mailto:x@y.example", "javascript:alert(1)", "http://", "http://[x/", "ftp://h/x"]
)
def test_a_location_that_is_no_http_url_is_the_target_s_fault(location: str) -> None:
    with pytest.raises(InvalidRedirect) as caught:
        follow(302, location)

    assert (caught.value.category, caught.value.fault) == ("invalid_redirect", "target")


def test_the_redirect_after_the_last_allowed_one_is_an_error_that_hides_secrets() -> None:
    assert next_request("GET", HERE, 302, "/x", hops=9, limit=10) is not None

    with pytest.raises(TooManyRedirects, match=r"10 redirects.*token=\*\*\*"):
        next_request("GET", HERE, 302, "/x?token=abc", hops=10, limit=10)


def test_a_body_that_can_be_sent_only_once_cannot_follow_a_307_but_can_be_left_behind() -> None:
    with pytest.raises(InvalidRedirect) as caught:
        next_request("POST", HERE, 307, "/x", is_replayable=False)

    assert caught.value.fault == "scenario"
    assert next_request("POST", HERE, 303, "/x", is_replayable=False) is not None


@given(st.text(st.characters(max_codepoint=255), max_size=40), st.sampled_from([301, 302, 303, 307, 308]))
def test_any_location_is_followed_or_final_or_refused(location: str, status: int) -> None:
    try:
        redirect = follow(status, location)
    except InvalidRedirect:
        return

    assert redirect is None or redirect.url.startswith(("http://", "https://"))

"""What each host gets, and what a response may set: RFC 6265 as tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.cookies import MAX_COOKIES, MAX_PER_DOMAIN, CookieJar
from loadgen.http.setcookie import MAX_PAIR, Cookie, default_path, parse_date, parse_set_cookie
from loadgen.http.urls import Target, split

NOW = 1_000_000_000.0
SHOP = Target("https", "shop.example", 443)


def jar_with(set_cookie: str, url: str = "https://shop.example/", now_s: float = NOW) -> CookieJar:
    target, path, _ = split(url)
    jar = CookieJar()
    jar.store([set_cookie], target, path, now_s)
    return jar


def sent(jar: CookieJar, url: str = "https://shop.example/", now_s: float = NOW) -> str | None:
    target, path, _ = split(url)
    return jar.header_for(target, path, target.is_tls, now_s)


@pytest.mark.parametrize(
    ("setter", "attribute", "receiver", "goes"),
    [
        ("https://a.shop.example/", "", "https://a.shop.example/", True),
        ("https://a.shop.example/", "", "https://b.a.shop.example/", False),
        ("https://a.shop.example/", "", "https://shop.example/", False),
        ("https://a.shop.example/", "; Domain=shop.example", "https://shop.example/", True),
        ("https://a.shop.example/", "; Domain=.shop.example", "https://b.shop.example/", True),
        ("https://a.shop.example/", "; domain=SHOP.Example", "https://a.b.shop.example/", True),
        ("https://a.shop.example/", "; Domain=shop.example", "https://evilshop.example/", False),
        ("https://a.shop.example/", "; Domain=", "https://b.shop.example/", False),
        ("https://a.shop.example/", "; Domain=x; Domain=shop.example", "https://shop.example/", True),
        ("https://shop.example/", "; Domain=shop.example", "https://a.shop.example/", True),
        ("https://shop.example/", "", "https://shop.example:8443/", True),
        ("http://127.0.0.1/", "", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "; Domain=127.0.0.1", "http://127.0.0.1/", True),
        ("http://127.0.0.1/", "; Domain=127.0.0.1", "http://x.127.0.0.1/", False),
        ("http://[::1]/", "", "http://[::1]/", True),
        ("http://localhost/", "; Domain=localhost", "http://localhost/", True),
    ],
)
def test_a_cookie_goes_to_its_host_or_its_domain(setter: str, attribute: str, receiver: str, goes: bool) -> None:
    assert sent(jar_with(f"a=1{attribute}", setter), receiver) == ("a=1" if goes else None)


@pytest.mark.parametrize(
    ("setter", "domain"),
    [
        ("https://shop.example/", "other.example"),
        ("https://shop.example/", "a.shop.example"),
        ("https://shop.example/", "example"),
        ("https://shop.example/", "hop.example"),
        ("https://shop.example/", ".."),
        ("http://10.0.0.1/", "0.0.1"),
        ("http://10.0.0.1/", "10.0.0.2"),
    ],
)
def test_a_response_cannot_set_a_cookie_for_somebody_else(setter: str, domain: str) -> None:
    assert len(jar_with(f"a=1; Domain={domain}", setter)) == 0


@pytest.mark.parametrize(
    ("setter", "attribute", "receiver", "goes"),
    [
        ("/a/b", "", "/a/c", True),
        ("/a/b", "", "/a", True),
        ("/a/b", "", "/ab", False),
        ("/a/b", "", "/", False),
        ("/a/b?x=/y/z", "", "/a/c?d", True),
        ("/a/b", "; Path=/", "/x", True),
        ("/", "; Path=/a", "/a/b?c", True),
        ("/", "; Path=/a", "/a?b", True),
        ("/", "; Path=/a", "/ab", False),
        ("/", "; Path=/a/", "/a/b", True),
        ("/", "; Path=/a/", "/a", False),
        ("/x/y", "; Path=relative", "/x/z", True),
        ("/x/y", "; Path=", "/z", False),
        ("/", "; Path=/A", "/a", False),
    ],
)
def test_a_cookie_goes_to_its_path_and_below(setter: str, attribute: str, receiver: str, goes: bool) -> None:
    jar = jar_with(f"a=1{attribute}", f"https://shop.example{setter}")

    assert sent(jar, f"https://shop.example{receiver}") == ("a=1" if goes else None)


@pytest.mark.parametrize(("path", "directory"), [("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b?c/d", "/a"), ("", "/")])
def test_the_default_path_is_the_directory_of_the_request(path: str, directory: str) -> None:
    assert default_path(path) == directory


def test_a_secure_cookie_is_never_sent_in_the_clear() -> None:
    jar = jar_with("a=1; Secure; HttpOnly; SameSite=Lax")

    assert sent(jar, "https://shop.example/") == "a=1"
    assert sent(jar, "http://shop.example/") is None


@pytest.mark.parametrize(
    ("attribute", "lives_s"),
    [
        ("", None),
        ("; Max-Age=60", 60.0),
        ("; max-age = 60", 60.0),
        ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60.0),
        ("; Expires=Sun, 09 Sep 2001 01:47:40 GMT", 60.0),
        ("; Max-Age=soon; Expires=Sunday, 09-Sep-01 01:47:40 GMT", 60.0),
        ("; Expires=never", None),
        ("; Max-Age=+60", None),
        ("; Max-Age=99999999999999999999", 1e11),
    ],
)
def test_a_cookie_lives_as_long_as_it_was_told(attribute: str, lives_s: float | None) -> None:
    jar = jar_with(f"a=1{attribute}")

    if lives_s is None:
        assert sent(jar, now_s=NOW + 1e12) == "a=1"
    else:
        assert sent(jar, now_s=NOW + lives_s - 1) == "a=1"
        assert sent(jar, now_s=NOW + max(lives_s, 1e12 if lives_s > 1e10 else 0)) is None


@pytest.mark.parametrize("attribute", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_cookie_that_has_ended_deletes_the_one_before(attribute: str) -> None:
    jar = jar_with("a=1")

    jar.store([f"a=; {attribute}"], SHOP, "/", NOW)
    assert dict(jar) == {}

    jar.store([f"b=; {attribute}"], SHOP, "/", NOW)
    assert dict(jar) == {}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", datetime(2015, 10, 21, 7, 28)),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", datetime(2015, 10, 21, 7, 28)),
        ("Wed Oct 21 07:28:00 2015", datetime(2015, 10, 21, 7, 28)),
        ("21 october 1999 7:8:9", datetime(1999, 10, 21, 7, 8, 9)),
        ("1 Jan 70 00:00:00", datetime(1970, 1, 1)),
        ("1 Jan 69 00:00:00", datetime(2069, 1, 1)),
        ("1 Jan 1600 00:00:00", None),
        ("31 Feb 2020 00:00:00", None),
        ("1 Jan 2020 24:00:00", None),
        ("1 Jan 2020", None),
        ("Jan 2020 00:00:00", None),
        ("1 Foo 2020 00:00:00", None),
        ("", None),
    ],
)
def test_a_cookie_s_date_is_read_in_any_of_its_spellings(text: str, moment: datetime | None) -> None:
    assert parse_date(text) == (moment.replace(tzinfo=UTC).timestamp() if moment else None)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)))
def test_a_date_as_servers_write_it_is_read_to_the_second(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)

    assert parse_date(f"{moment:%a, %d %b %Y %H:%M:%S} GMT") == moment.timestamp()
    assert parse_date(f"{moment:%A, %d-%b-%y %H:%M:%S} GMT") == moment.timestamp()


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a=1", ("a", "1")),
        (" a = 1 ; x", ("a", "1")),
        ('a="b c"', ("a", '"b c"')),
        ("a=b=c", ("a", "b=c")),
        ("a=", ("a", "")),
        ("a=\u00e4", ("a", "\u00e4")),
        ("a", None),
        ("=1", None),
        ("", None),
        (";a=1", None),
        ("a=1\0", None),
        ("a\r\nb=1", None),
        ("a=" + "x" * (MAX_PAIR - 1), ("a", "x" * (MAX_PAIR - 1))),
        ("a=" + "x" * MAX_PAIR, None),
    ],
)
def test_name_and_value_are_what_stands_before_the_first_semicolon(text: str, pair: tuple[str, str] | None) -> None:
    cookie = parse_set_cookie(text, SHOP, "/", NOW)

    assert (cookie and (cookie.name, cookie.value)) == pair


def test_an_attribute_that_is_too_long_is_ignored_and_the_cookie_stays() -> None:
    cookie = parse_set_cookie("a=1; Path=/" + "x" * 2000, SHOP, "/here/x", NOW)

    assert cookie is not None
    assert cookie.path == "/here"


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_a_server_sets_the_header_we_send_back_stays_one_line(text: str) -> None:
    header = sent(jar_with(text))

    assert header is None or not set("\r\n\0") & set(header)


def test_longer_paths_go_first_and_a_cookie_that_is_set_again_keeps_its_place() -> None:
    jar = CookieJar()
    jar.store(["one=1; Path=/", "two=2; Path=/", "deep=3; Path=/a"], SHOP, "/", NOW)
    jar.store(["one=4; Path=/"], SHOP, "/", NOW)

    assert sent(jar, "https://shop.example/a/b") == "deep=3; one=4; two=2"


def test_one_name_may_have_one_value_per_domain_and_path() -> None:
    jar = CookieJar()
    jar.store(["a=1", "a=2; Domain=shop.example", "a=3; Path=/x"], Target("https", "w.shop.example", 443), "/", NOW)

    assert sent(jar, "https://w.shop.example/x") == "a=3; a=1; a=2"
    assert sent(jar, "https://shop.example/x") == "a=2"
    assert jar["a"] == "3"


def test_cookies_of_one_request_take_the_place_of_the_jar_s() -> None:
    jar = jar_with("a=1")
    jar.store(["b=2"], SHOP, "/", NOW)

    assert jar.header_for(SHOP, "/", True, NOW, {"a": "9", "c": "3"}) == "b=2; a=9; c=3"
    assert CookieJar().header_for(SHOP, "/", True, NOW, {"c": "3"}) == "c=3"
    assert dict(jar) == {"a": "1", "b": "2"}


def test_a_jar_is_a_mapping_a_scenario_can_read_and_write() -> None:
    jar = CookieJar("shop.example")
    jar["token"] = "t1"
    jar.set("wide", "w", domain=".example.org", path="/p")
    jar.update({"more": "m"})

    assert jar.get_dict() == {"wide": "w", "token": "t1", "more": "m"}
    assert jar.get("none") is None
    assert ("token" in jar, len(jar), list(jar)) == (True, 3, ["wide", "token", "more"])
    assert Cookie("wide", "w", "example.org", "/p", host_only=False) in jar.cookies()

    del jar["more"]
    jar.set("token", None)
    assert list(jar) == ["wide"]

    jar.clear()
    assert not jar
    with pytest.raises(KeyError):
        del jar["token"]
    with pytest.raises(KeyError):
        jar["token"]


def test_a_cookie_set_by_hand_goes_to_the_jar_s_host_only() -> None:
    jar = CookieJar("shop.example")
    jar["a"] = "1"

    assert sent(jar, "http://shop.example/x") == "a=1"
    assert sent(jar, "https://other.example/") is None


@pytest.mark.parametrize(("name", "value"), [("a b", "1"), ("", "1"), ("a", "1;2"), ("a", "1\r\n2"), ("a", "€")])
def test_a_cookie_that_no_header_can_carry_is_refused_without_showing_its_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cookie") as caught:
        CookieJar().set(name, value)

    assert value == "1" or value not in str(caught.value)


def test_a_jar_is_bounded_and_the_oldest_give_way() -> None:
    jar = CookieJar()
    jar.store([f"c{n}=1" for n in range(MAX_PER_DOMAIN + 5)], SHOP, "/", NOW)
    assert list(jar) == [f"c{n}" for n in range(5, MAX_PER_DOMAIN + 5)]

    for n in range(MAX_COOKIES + 5):
        jar.store([f"h{n}=1"], Target("https", f"h{n}.example", 443), "/", NOW)

    assert len(jar.cookies()) == MAX_COOKIES
    assert f"h{MAX_COOKIES + 4}" in jar


def test_ended_cookies_are_dropped_when_the_next_one_comes() -> None:
    jar = jar_with("a=1; Max-Age=10")

    jar.store(["b=2"], SHOP, "/", NOW + 10)

    assert dict(jar) == {"b": "2"}


def test_a_jar_shows_names_and_no_values() -> None:
    assert repr(jar_with("token=secret")) == "CookieJar(token)"

from __future__ import annotations

from pathlib import Path

import pytest

from loadgen.cli.quick import parse_header, read_body, split_url
from loadgen.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("http://localhost:8000/", "http://localhost:8000", "/"),
        ("https://shop.test", "https://shop.test", "/"),
        ("localhost:8000/a?b=1", "http://localhost:8000", "/a?b=1"),
        ("http://[::1]:80/x#part", "http://[::1]:80", "/x"),
        ("http://me:pw@shop.test/x", "http://me:pw@shop.test", "/x"),
    ],
)
def test_a_url_is_split_into_host_and_path(url: str, host: str, path: str) -> None:
    assert split_url(url) == (host, path)


@pytest.mark.parametrize("url", ["ftp://shop.test/", "http://", "http://shop:port/", ""])
def test_what_is_no_http_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not an HTTP address"):
        split_url(url)


def test_headers_are_name_and_value() -> None:
    assert parse_header("Accept:  text/html ") == ("Accept", "text/html")


@pytest.mark.parametrize("text", ["Accept", ": value", "A: b\r\nEvil: yes"])
def test_what_is_no_header_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a header"):
        parse_header(text)


def test_a_body_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"id": 7}')

    assert read_body(f"@{tmp_path / 'body.json'}") == '{"id": 7}'
    assert read_body('{"id": 7}') == '{"id": 7}'
    with pytest.raises(ConfigError, match="cannot read the body"):
        read_body("@/nowhere/at/all")

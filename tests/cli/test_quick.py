from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.cli.quick import parse_header, read_body, split_url
from loadgen.errors import ConfigError
from tests.support.target import Target

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("url", "host", "path", "login"),
    [
        ("http://localhost:8000/", "http://localhost:8000", "/", None),
        ("https://shop.test", "https://shop.test", "/", None),
        ("localhost:8000/a?b=1", "http://localhost:8000", "/a?b=1", None),
        ("http://[::1]:80/x#part", "http://[::1]:80", "/x", None),
        ("http://me:p%40w@shop.test/x", "http://shop.test", "/x", "me:p@w"),
    ],
)
def test_a_url_is_split_into_host_path_and_login(url: str, host: str, path: str, login: str | None) -> None:
    assert split_url(url) == (host, path, login)


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


def quick(url: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the summary and what was said of a real run of three tenths of a second."""
    command = [sys.executable, "-m", "loadgen", "quick", url, "-c", "2", "-d", "300ms", "--workers", "1", "--json", "-"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_every_request_of_a_quick_run_is_in_its_summary(counting_target: Target) -> None:
    code, summary, said = quick(f"{counting_target.url}/delay/10ms?page=1&token=s3cret")

    assert code == 0
    assert summary["totals"]["requests"] == counting_target.stats()["total"] > 0
    assert summary["endpoints"][0]["name"] == "/delay/10ms?page=1&token=***"
    assert "PASS" in said
    assert "s3cret" not in said + json.dumps(summary)


def test_method_body_and_headers_arrive(counting_target: Target) -> None:
    code, summary, _ = quick(
        f"{counting_target.url}/echo", "--body", '{"id": 7}', "-H", "Content-Type: application/json"
    )

    assert code == 0
    assert set(counting_target.stats()["methods"]) == {"POST"}
    assert summary["totals"]["bytes"] == summary["totals"]["requests"] * len('{"id": 7}')


def test_a_login_in_the_url_is_used_and_not_shown(counting_target: Target) -> None:
    code, summary, said = quick(counting_target.url.replace("://", "://me:s3cret@") + "/inspect")

    assert code == 0
    assert "s3cret" not in said + json.dumps(summary)


def test_failures_are_judged_by_the_thresholds(counting_target: Target) -> None:
    assert quick(f"{counting_target.url}/status/503")[0] == 1
    assert quick(f"{counting_target.url}/status/503", "--threshold", "errors <= 100%")[0] == 0

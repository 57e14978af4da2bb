"""`loadgen quick URL`: load one URL without writing a scenario."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

import loadgen
from loadgen import __version__
from loadgen.cli.options import (
    COUNT,
    DURATION,
    option,
    output_options,
    run_settings,
    running_options,
)
from loadgen.cli.verb import Verb
from loadgen.errors import ConfigError

SCENARIO = Path(loadgen.__file__).with_name("quick_scenario.py")

EXAMPLES = """
loadgen quick http://localhost:8000/ -c 50 -d 30s
loadgen quick https://shop.test/cart -H 'Content-Type: application/json' --body '{"id": 7}'
loadgen quick http://localhost:8000/ -c 10 -d 5s --json - | jq .totals.response_ms.p99
"""


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("url")
@option("-c", "--connections", type=COUNT, default="50", help="Virtual users, one connection each (default 50).")
@option("-d", "-t", "--duration", type=DURATION, default="30s", help="How long (default 30s).")
@click.option("-m", "--method", default=None, metavar="METHOD", help="HTTP method (default GET, with a body POST).")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header. Repeatable.")
@click.option("--body", default=None, metavar="TEXT|@FILE", help="The request's body.")
@click.option("--insecure", is_flag=True, help="Do not verify TLS certificates.")
@running_options()
@output_options()
def command(url: str, **params: Any) -> int:
    """Load one URL, without a scenario."""
    from loadgen.cli.running import execute
    from loadgen.cli.terminal.screens import make_screen
    from loadgen.http.urls import redact
    from loadgen.limits import raise_file_limit
    from loadgen.scenario import load_scenario

    host, path, login = split_url(url)
    body = read_body(params["body"])
    custom = {
        "quick_method": (params["method"] or ("GET" if body is None else "POST")).upper(),
        "quick_path": path,
        "quick_name": redact(path),
        "quick_headers": [parse_header(text) for text in params["headers"]],
        "quick_body": body,
        "quick_insecure": params["insecure"],
        "quick_login": login,
    }
    raise_file_limit()
    rate = max(100.0, float(params["connections"]))  # all within a second
    settings = run_settings(params, users=params["connections"], spawn_rate_per_s=rate, host=host, custom=custom)
    screen = make_screen(params, version=__version__)
    try:
        return execute(replace(load_scenario(SCENARIO), name="quick"), settings, screen)
    finally:
        screen.close()


def split_url(text: str) -> tuple[str, str, str | None]:
    """(`https://host:port`, `/path?query`, `user:password` or None); `localhost:8000` alone means http.

    The password does not stay in the host, which is shown. Raises ConfigError.
    """
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    try:
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        named = False
    if parts.scheme not in ("http", "https") or not named:
        raise ConfigError(f'"{text}" is not an HTTP address', hints=("write it like http://localhost:8000/path",))
    query = f"?{parts.query}" if parts.query else ""
    userinfo, at, place = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{place}", (parts.path or "/") + query, unquote(userinfo) if at else None


def parse_header(text: str) -> tuple[str, str]:
    """(name, value) of `Name: value`. Raises ConfigError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(char in text for char in "\r\n\0"):
        raise ConfigError(f'"{text}" is not a header', hints=("write it like 'Accept: application/json'",))
    return name.strip(), value.strip()


def read_body(text: str | None) -> str | None:
    """The body itself, or the content of the file named after an `@`. Raises ConfigError."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read the body from {text[1:]}: {exc}") from exc

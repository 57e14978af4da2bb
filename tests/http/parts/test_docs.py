"""docs/http.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loadgen.http import client, cookies, decoding, dialing, plans, reader, redirects, resolver, setcookie, settings
from loadgen.http.errors import CATEGORIES, PHASES, Category

DOCS = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
IDEMPOTENT = "GET, HEAD, OPTIONS, PUT, DELETE, TRACE"
HEAD = "| category | phase | whose fault | meaning |\n|---|---|---|---|\n"


def rendered() -> str:
    """The table of categories as it should stand in the docs."""
    return HEAD + "".join(f"{row(category, about)}\n" for category, about in CATEGORIES.items())


def row(category: str, about: Category) -> str:
    phases = ", ".join(phase for phase in PHASES if phase in about.phases) or "–"
    return f"| `{category}` | {phases} | {about.fault} | {about.meaning} |"


def documented() -> str:
    match = re.search(r"<!-- categories:.*?-->\n(.*?)<!-- end of categories -->", DOCS, re.DOTALL)
    assert match is not None
    return match.group(1)


def test_the_table_of_categories_is_the_one_of_the_code() -> None:
    assert documented() == rendered(), f"write this into docs/http.md:\n\n{rendered()}"


def test_every_category_is_documented_and_every_documented_one_exists() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", documented(), re.MULTILINE)) == set(CATEGORIES)


def test_categories_named_in_the_text_exist() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)*_(?:timeout|error|redirect|limit|4xx|5xx))`", DOCS))

    assert named <= {*CATEGORIES, "connection_timeout", "network_timeout"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("| connect | 10 s |", settings.DEFAULTS.timeouts.connect_s == 10),
        ("| first byte | 60 s |", settings.DEFAULTS.timeouts.first_byte_s == 60),
        ("| idle | 60 s |", settings.DEFAULTS.timeouts.idle_s == 60),
        ("| total | 300 s |", settings.DEFAULTS.timeouts.total_s == 300),
        ("up to 8 stay open", settings.DEFAULTS.max_idle_connections == 8),
        ("At most 30 are followed", settings.DEFAULTS.max_redirects == 30),
        ("256 MiB of body", settings.DEFAULTS.max_body_bytes == 256 << 20),
        ("kept for 30 s, a failure for 1 s", (resolver.DEFAULT_TTL_S, resolver.FAILURE_TTL_S) == (30, 1)),
        ("refused 64 in a row", plans.REFUSALS == 64),
        ("gets 250 ms", dialing.FALLBACK_S == 0.25),
        (f"({IDEMPOTENT})", set(IDEMPOTENT.split(", ")) == client.IDEMPOTENT),
        (f"`{client.RETRIES}`", True),
        (f"`{client.EXCESS}`", True),
        ("301, 302 |", {301, 302, 303, 307, 308} == redirects.STATUSES),
        ("At most 50 per domain and 300 in all", (cookies.MAX_PER_DOMAIN, cookies.MAX_COOKIES) == (50, 300)),
        ("4,096\ncharacters", setcookie.MAX_PAIR == 4096),
        ("Up to 10 interim responses", reader.MAX_INTERIM == 10),
        ("256 KiB and 1,000 fields", (reader.MAX_HEAD_BYTES, reader.MAX_FIELDS) == (256 << 10, 1000)),
        ("up to 64 MiB", decoding.MAX_BYTES == 64 << 20),
        ("1 MiB, up to 1,100 times", (decoding.RATIO_JUDGED_FROM, decoding.MAX_RATIO) == (1 << 20, 1100)),
    ],
)
def test_the_numbers_of_the_docs_are_those_of_the_code(text: str, value: bool) -> None:
    assert text in DOCS
    assert value

"""Names that would grow without bound, because ids stand in them. Pure.

Each name is a row of its own: `/item/1`, `/item/2`, … give thousands of rows that say nothing.
"""

from __future__ import annotations

import re

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HEX = r"(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}"  # a digit in it: "deadbeef" may be a word, "dead8eef" is not
_ID = re.compile(rf"(?:\d+|{_UUID}|{_HEX})")
_PLACEHOLDER = "[id]"


def suggested_name(name: str) -> str | None:
    """The name with `[id]` for each id in a path segment or a query value; None if there is none."""
    path, mark, query = name.partition("?")
    better = "/".join(_PLACEHOLDER if _ID.fullmatch(part) else part for part in path.split("/"))
    if mark:
        better += "?" + "&".join(map(_without_id, query.split("&")))
    return better if better != name else None


def _without_id(pair: str) -> str:
    key, sign, value = pair.partition("=")
    return f"{key}={_PLACEHOLDER}" if sign and _ID.fullmatch(value) else pair

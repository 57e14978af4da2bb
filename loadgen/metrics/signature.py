"""Error messages that differ only in numbers and ids get one signature, so that they form one group."""

from __future__ import annotations

import re

MAX_SIGNATURE = 200  # characters
_MAX_LOOKED_AT = 2_000

# First alternative that matches wins. HTTP statuses stay: 502 and 503 are different failures.
_VARIABLE = re.compile(
    r"""
      (?P<keep>(?:(?<=HTTP\ )|(?<=status\ )|(?<=status=)|(?<=status\ code\ ))\d{3}(?![\d.]))
    | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
    | (?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
             | \b\d\d:\d\d:\d\d(?:[.,]\d+)?)
    | (?P<addr>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b
             | \[[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*(?:%\w{1,16})?\](?::\d{1,5})?)
    | (?P<hex>\b0x[0-9a-f]+\b | \b(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{8,}\b)
    | (?P<id>(?<!\w)'[^'\s]{0,200}?\d[^'\s]{0,200}'(?!\w) | (?<!\w)"[^"\s]{0,200}?\d[^"\s]{0,200}"(?!\w))
    | (?P<n>\d+(?:[.,]\d+)*)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SPACES = re.compile(r"\s+")


def signature(message: str) -> str:
    """`message` on one line with digits, UUIDs, hex, times, quoted ids and addresses replaced by placeholders.

    At most MAX_SIGNATURE characters. Statuses after "HTTP " or "status " are kept.
    """
    text = _SPACES.sub(" ", message[:_MAX_LOOKED_AT]).strip()
    return _VARIABLE.sub(_placeholder, text)[:MAX_SIGNATURE]


def _placeholder(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind == "keep":
        return match[0]
    if kind == "id":
        return f"{match[0][0]}<id>{match[0][0]}"
    return f"<{kind}>"

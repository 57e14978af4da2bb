"""Text that is safe to show and has a known width in terminal columns.

Names come from scenarios and servers: they may hold control characters, escape sequences, letters
that turn the reading direction, or wide and combining characters.
"""

from __future__ import annotations

import re
import unicodedata

# Cc control, Cf format (bidi overrides, zero width), Cs surrogates, Cn unassigned, Zl/Zp separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
_STACKED = re.compile(r"([\u0300-\u036f]{3})[\u0300-\u036f]+")  # accents piled up over other lines
_MAX_LINE = 2_000  # longer texts are cut before they are looked at letter by letter


def clean(text: str) -> str:
    """The text on one line with every invisible or controlling character written as its escape (`\\x1b`)."""
    if text.isascii() and text.isprintable():
        return text[:_MAX_LINE]
    return _STACKED.sub(r"\1", "".join(map(_visible, text[:_MAX_LINE])))


def _visible(char: str) -> str:
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def width(text: str) -> int:
    """Columns that cleaned text takes: 2 for wide characters, 0 for combining ones."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def shorten(text: str, columns: int, ellipsis: str = "…") -> str:
    """The text in at most `columns` columns: the middle of a longer one becomes an ellipsis.

    Both ends of a URL or a name tell more than its middle.
    """
    if width(text) <= columns:
        return text
    room = columns - width(ellipsis)
    if room <= 0:
        return _head(text, columns)
    tail = room // 2
    return _head(text, room - tail) + ellipsis + _head(text[::-1], tail)[::-1]


def _head(text: str, columns: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _char_width(char)
        if taken > columns:
            return text[:index]
    return text


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled with spaces to `columns` columns; `right` aligns it to the right."""
    fill = " " * max(0, columns - width(text))
    return fill + text if right else text + fill


def wrap(text: str, columns: int) -> list[str]:
    """The words on lines of at most `columns` (2 or more) columns; a longer word is broken. Never empty."""
    lines, room = [""], columns
    for word in text.split():
        rest = word
        if lines[-1] and width(rest) + 1 > room:
            lines.append("")
            room = columns
        while width(rest) > columns:
            head = _head(rest, columns)
            lines[-1:] = [head, ""] if not lines[-1] else [lines[-1], head, ""]
            rest, room = rest[len(head) :], columns
        lines[-1] += f" {rest}" if lines[-1] else rest
        room = columns - width(lines[-1])
    return [line for line in lines if line] or [""]

"""Did you mean …? How near two words are, for hints that are rather missing than wrong."""

from __future__ import annotations

from collections.abc import Iterable

SHORT = 8  # up to this many letters one slip is allowed, above it two


def distance(left: str, right: str) -> int:
    """Slips between two words: a letter missing, too many, wrong, or two neighbours swapped."""
    before_last: list[int] = []
    last = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before_last[j - 2] + 1)
            row.append(cost)
        before_last, last = last, row
    return last[-1]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most likely means, or None; never `word` itself."""
    allowed = 1 if len(word) <= SHORT else 2
    best = min(((distance(word.lower(), one.lower()), one) for one in known if one != word), default=None)
    return best[1] if best is not None and best[0] <= allowed else None

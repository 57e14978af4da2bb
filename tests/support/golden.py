"""Texts compared with files that somebody looked at: tests/terminal/golden/NAME.txt.

`UPDATE_GOLDEN=1 make test ARGS=tests/terminal` writes them anew; look at the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "terminal" / "golden"


def assert_golden(name: str, lines: list[str]) -> None:
    """The lines are those of the golden file."""
    file = FOLDER / f"{name}.txt"
    text = "\n".join(lines) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file.name} differs; UPDATE_GOLDEN=1 writes it anew"

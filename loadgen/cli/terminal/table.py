"""Tables of text: columns as wide as their content, one column that gives way when there is no room."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.text import pad, shorten, width, wrap

LABEL_COLUMNS = 12
Paint = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and how it is coloured; the colour is put on after the text was fitted."""

    text: str
    paint: Paint | None = None


Row = Sequence["Cell | str"]


def table(
    rows: Sequence[Row],
    columns: int,
    *,
    flexible: int = 0,
    left: Collection[int] = (0,),
    indent: str = " ",
    gap: int = 2,
    least: int = 12,
) -> list[str]:
    """The rows as lines of at most `columns` columns (if the fixed ones leave `least` for the flexible one).

    Columns in `left` are aligned to the left, the others to the right. Trailing spaces are cut.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [max(width(row[index].text) for row in cells if index < len(row)) for index in range(max(map(len, cells)))]
    fixed = sum(widths) - widths[flexible] + gap * (len(widths) - 1) + len(indent)
    widths[flexible] = min(widths[flexible], max(least, columns - fixed))
    return [indent + _line(row, widths, left, " " * gap) for row in cells]


def _line(row: Sequence[Cell], widths: Sequence[int], left: Collection[int], gap: str) -> str:
    fitted = []
    for index, cell in enumerate(row):
        text = shorten(cell.text, widths[index])
        last = index == len(row) - 1
        text = text if last and index in left else pad(text, widths[index], right=index not in left)
        fitted.append(cell.paint(text) if cell.paint else text)
    return gap.join(fitted).rstrip()


def labelled(label: str, text: str, columns: int, style: Style, paint: Paint | None = None) -> list[str]:
    """The text after a bold label; longer ones go on below themselves."""
    lines = wrap(text, columns - LABEL_COLUMNS)
    shown = [paint(line) if paint else line for line in lines]
    return [style.bold(pad(label, LABEL_COLUMNS)) + shown[0], *(" " * LABEL_COLUMNS + line for line in shown[1:])]

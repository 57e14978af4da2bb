"""What a benchmark gives back, and how it is shown: one row a question, medians of interleaved rounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median

OURS = "loadgen"


@dataclass(frozen=True, slots=True)
class Bound:
    """A promise: the figure itself, or its ratio to a peer's, stays on the good side of `limit`."""

    limit: float
    peer: str = ""  # "" is about the figure itself
    at_least: bool = False  # for peer bounds: peer / ours, "how many times better"

    def __str__(self) -> str:
        if self.peer and self.at_least:
            return f"{self.peer} ≥ {self.limit:g}×"
        if self.peer:
            return f"≤ {self.limit:g} × {self.peer}"
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(slots=True)
class Row:
    """One question, asked of several tools in turn; `rounds[tool]` has a figure for each round."""

    name: str
    unit: str
    bounds: tuple[Bound, ...] = ()
    rounds: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, tool: str, figure: float) -> None:
        self.rounds.setdefault(tool, []).append(figure)

    def figure(self, tool: str) -> float | None:
        """The median over the rounds; None if the tool was not asked."""
        return median(self.rounds[tool]) if self.rounds.get(tool) else None

    def ratio(self, peer: str) -> float | None:
        """Ours divided by the peer's, as the median of the ratios of each round: a slow minute hits both."""
        pairs = zip(self.rounds.get(OURS, []), self.rounds.get(peer, []), strict=False)
        ratios = [ours / theirs for ours, theirs in pairs if theirs]
        return median(ratios) if ratios else None

    def holds(self, bound: Bound) -> bool | None:
        """Whether a promise is kept; None if it could not be measured here."""
        if bound.peer:
            ratio = self.ratio(bound.peer)
            if ratio is None:
                return None
            return 1 / ratio >= bound.limit if bound.at_least else ratio <= bound.limit
        figure = self.figure(OURS)
        if figure is None:
            return None
        return figure >= bound.limit if bound.at_least else figure <= bound.limit

    def as_json(self) -> dict[str, object]:
        tools = list(self.rounds)
        return {
            **asdict(self),
            "bounds": [{"bound": str(bound), "holds": self.holds(bound)} for bound in self.bounds],
            "medians": {tool: self.figure(tool) for tool in tools},
            "ratios": {tool: self.ratio(tool) for tool in tools if tool != OURS},
        }


def table(rows: list[Row]) -> str:
    """The rows as text: our figure, each peer's with the ratio ours / theirs, and the promises."""
    peers = sorted({tool for row in rows for tool in row.rounds} - {OURS}, reverse=True)
    lines = [["", "unit", OURS, *(f"{peer} (ratio)" for peer in peers), "promised"]]
    for row in rows:
        cells = [row.name, row.unit, number(row.figure(OURS))]
        for peer in peers:
            ratio = row.ratio(peer)
            cells.append(f"{number(row.figure(peer))} ({ratio:.2f}×)" if ratio else number(row.figure(peer)))
        marks = {True: "✓", False: "✗", None: "–"}
        cells.append("  ".join(f"{marks[row.holds(bound)]} {bound}" for bound in row.bounds))
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) if place in (0, 1, len(widths) - 1) else cell.rjust(width)
                  for place, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    ]
    return "\n".join([*text, *(f"  {row.name}: {note}" for row in rows for note in row.notes)])


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"

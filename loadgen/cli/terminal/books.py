"""Requests and iterations as the equations that must hold. Pure."""

from __future__ import annotations

from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import labelled
from loadgen.metrics.snapshot import Accounting, Snapshot
from loadgen.units import format_bytes


def books_section(snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    """What was sent, what was started, and what became of it; a line more if the books do not close."""
    totals, books = snapshot.totals, snapshot.accounting
    ok = totals.requests - totals.failures - totals.cancelled
    requests = _equation(totals.requests, "sent", ok=ok, failed=totals.failures, cancelled=totals.cancelled)
    lines = labelled("Requests", requests, columns, style) + _iterations(books, columns, style)
    if not books.closes():
        wrong = "✗ the books of iterations do not close: figures are missing"
        lines += labelled("", wrong, columns, style, style.bad)
    received = f"{format_bytes(totals.bytes)}, {format_bytes(figures.per_s(totals.bytes, snapshot.elapsed_s))}/s"
    return lines + labelled("Received", received, columns, style)


def _iterations(books: Accounting, columns: int, style: Style) -> list[str]:
    ends = {"ok": books.ok, "failed": books.failed, "cancelled": books.cancelled, "in_flight": books.in_flight}
    lines = labelled("Iterations", _equation(books.started, "started", **ends), columns, style)
    if not books.dropped:
        return lines
    planned = _equation(books.planned, "planned", started=books.started, dropped=books.dropped)
    return lines + labelled("", planned, columns, style)


def _equation(total: int, name: str, **parts: int) -> str:
    """`7 started = 5 ok + 2 failed + 0 cancelled`; in flight only when there is any."""
    terms = [f"{number:,} {term.replace('_', ' ')}" for term, number in parts.items() if number or term != "in_flight"]
    return f"{total:,} {name} = {' + '.join(terms)}"

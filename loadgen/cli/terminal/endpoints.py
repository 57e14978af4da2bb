"""The table of endpoints at the end of a run. Pure."""

from __future__ import annotations

from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.metrics.snapshot import EndpointTotals, Latency, Snapshot
from loadgen.units import format_bytes

_MOST = 12
_WIDE, _NARROW = 110, 78


def endpoints_section(snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    """One row per endpoint, slowest p95 first, and the total; columns come and go with the width.

    Latencies are service times of successful requests; where iterations started late, a second
    total counts from the intended start.
    """
    if not snapshot.totals.requests:
        return []
    slowest = sorted(snapshot.endpoints, key=lambda e: (-(e.service.percentile_us(0.95) or 0.0), e.name))
    shown = slowest[:_MOST]
    method = max((len(endpoint.method) for endpoint in shown), default=0)
    rows: list[Row] = [_head(len(slowest), len(shown), columns, style)]
    rows += [_row(endpoint, snapshot, columns, style, method) for endpoint in shown]
    rows.append(_row(snapshot.totals, snapshot, columns, style, 0, bold=True))
    late = snapshot.totals.response.sum_us > snapshot.totals.service.sum_us
    if late:
        rows.append(_from_intended_start(snapshot.totals.response, columns))
    explained = [style.dim("   with wait: from the intended start of iterations that began late")] if late else []
    return _fitted(rows, columns, style) + explained


def _fitted(rows: list[Row], columns: int, style: Style) -> list[str]:
    if not any("*" in _text(cell) for row in rows[1:] for cell in row[1:]):
        return table([_without_room_for_stars(row) for row in rows], columns, indent="")
    return [*table(rows, columns, indent=""), style.dim("   * too few samples for this percentile to be relied on")]


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


def _without_room_for_stars(row: Row) -> Row:
    return [cell.rstrip() if isinstance(cell, str) else Cell(cell.text.rstrip(), cell.paint) for cell in row]


def _quantiles(columns: int) -> tuple[tuple[str, float], ...]:
    if columns >= _WIDE:
        return (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999))
    return (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)) if columns >= _NARROW else (("p50", 0.5), ("p95", 0.95))


def _head(total: int, shown: int, columns: int, style: Style) -> Row:
    title = f"Endpoints (slowest {shown} of {total})" if total > shown else "Endpoints"
    received = ("received",) if columns >= _WIDE else ()
    highest = ("max",) if columns >= _NARROW else ()
    names = ("count", "req/s", "fail", *(f"{name} " for name, _ in _quantiles(columns)), *highest, *received)
    return [Cell(title, style.bold), *(Cell(name, style.dim) for name in names)]


def _row(of: EndpointTotals, snapshot: Snapshot, columns: int, style: Style, method: int, *, bold: bool = False) -> Row:
    failed = of.fail_ratio
    received = (format_bytes(of.bytes),) if columns >= _WIDE else ()
    return [
        Cell(" " + style.foreign(figures.endpoint_name(of, method)), style.bold if bold else None),
        figures.count(of.requests),
        figures.rate(figures.per_s(of.requests, snapshot.elapsed_s)),
        Cell(figures.percent(failed), style.bad if failed else None),
        *_latencies(of.service, columns),
        *received,
    ]


def _latencies(of: Latency, columns: int) -> tuple[str, ...]:
    values = tuple(figures.percentile(of, q) for _, q in _quantiles(columns))
    return (*values, figures.latency(of.max_us if of.count else None)) if columns >= _NARROW else values


def _from_intended_start(response: Latency, columns: int) -> Row:
    received = ("",) if columns >= _WIDE else ()
    return [" TOTAL with wait", "", "", "", *_latencies(response, columns), *received]

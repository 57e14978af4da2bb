"""What a scenario's bundle holds, as `loadgen check --bundle` shows it. Pure."""

from __future__ import annotations

from loadgen.bundle import Bundle, BundleFile
from loadgen.cli.terminal.figures import plural
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.units import format_bytes


def bundle_lines(bundle: Bundle, columns: int, style: Style) -> list[str]:
    """Its files with their sizes, the totals, its hash, and what is not in it."""
    rows: list[Row] = [
        [style.foreign(file.path), format_bytes(file.size), _remark(file, bundle, style)] for file in bundle.files
    ]
    total = f"{plural(len(bundle.files), 'file')}, {format_bytes(bundle.total_bytes)}"
    lines = [
        style.bold("What other machines get"),
        *table(rows, columns, left=(0, 2), indent="  "),
        f"  {total}, compressed {format_bytes(len(bundle.data))}",
        style.dim(f"  sha256 {bundle.sha256}"),
    ]
    for name, place in bundle.outside:
        lines.append(style.warn("△ ") + style.foreign(f"{name} is not in it: {place} lies outside of the folder."))
    return [style.glyphs(line) for line in lines]


def _remark(file: BundleFile, bundle: Bundle, style: Style) -> Cell:
    return Cell("the scenario" if file.path == bundle.entry else "", style.dim)

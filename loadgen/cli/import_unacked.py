"""`loadgen import-unacked`: add to a run what its workers could not deliver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from loadgen.cli.exits import GENERATOR_INVALID
from loadgen.cli.options import option
from loadgen.cli.terminal.text import clean
from loadgen.cli.verb import Verb
from loadgen.errors import RunFileError

if TYPE_CHECKING:
    from loadgen.master.unacked_import import ImportedFile

_EXAMPLES = """
loadgen import-unacked loadgen-runs/2024-05-01-shop.db unacked-*.lg
loadgen import-unacked 2024-05-01-shop unacked-0f31a2.lg
"""

_NOTES = """
A worker that cannot reach its master any more writes what it measured to unacked-<uid>.lg before it ends.
Each measurement is added once: a file that is given again changes nothing.
"""


@click.command(cls=Verb, examples=_EXAMPLES, notes=_NOTES, name="import-unacked")
@click.argument("run", metavar="RUN")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@option("--runs-dir", default="loadgen-runs", metavar="DIR", help="Where runs are kept (default ./loadgen-runs).")
def command(run: str, files: tuple[Path, ...], runs_dir: str) -> int:
    """Add to a run what its workers could not deliver."""
    from loadgen.master.unacked_import import import_unacked  # loads numpy, which --help must not

    report = import_unacked(find_run(run, Path(runs_dir)), files)
    for file in report.files:
        click.echo(clean(describe(file)))
    more = report.requests_after - report.requests_before
    click.echo(f"{report.requests_before:,} + {more:,} = {report.requests_after:,} requests")
    return GENERATOR_INVALID if any(file.problems for file in report.files) else 0


def find_run(run: str, runs_dir: Path) -> Path:
    """The run file meant by a path or by the id of a run. Raises RunFileError."""
    for path in (Path(run), runs_dir / f"{run}.db"):
        if path.is_file():
            return path
    raise RunFileError(
        f'there is no run "{run}": neither a file of that name nor {runs_dir / f"{run}.db"}',
        code="LG611",
        hints=("give the path of its file, or its id and --runs-dir",),
    )


def describe(file: ImportedFile) -> str:
    """One line for one file."""
    whose = f"worker {file.worker}" if file.worker else "not added"
    parts = [f"{file.added} of {file.deltas} deltas added"]
    if file.repeated:
        parts.append(f"{file.repeated} were there already")
    parts.extend(file.problems)
    if file.worker:
        parts.append("nothing of it is missing now" if file.final else "its last measurements are still missing")
    return f"{file.path.name} ({whose}): {'; '.join(parts)}"

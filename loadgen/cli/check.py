"""`loadgen check FILE`: is this scenario right, and does its target answer? Sends one round of requests."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from loadgen.cli.exits import PASSED, TARGET_FAILED, USAGE_ERROR
from loadgen.cli.options import look_options, scenario_options, split_list
from loadgen.cli.verb import Verb

if TYPE_CHECKING:
    from loadgen.cli.dryrun import TaskRun
    from loadgen.cli.terminal.style import Style
    from loadgen.scenario import Scenario

_NAME_COLUMNS = 40

EXAMPLES = """
loadgen check scenario.py                 # what is in it; each task once
loadgen check scenario.py -H http://localhost:8000
loadgen check scenario.py --no-requests   # only import and list
"""
NOTES = """
Each task of each class runs once, in this process. Options of the scenario's own follow the file.
Exit codes: 0 all well · 4 the scenario is wrong · 7 a request failed
"""


@click.command(
    cls=Verb,
    examples=EXAMPLES,
    notes=NOTES,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("file")
@scenario_options()
@click.option("--no-requests", is_flag=True, help="Import and list only; send nothing.")
@click.option("--bundle", is_flag=True, hidden=True, help="Show which files workers on other machines get.")
@look_options()
@click.pass_context
def command(ctx: click.Context, /, file: str, **params: Any) -> int:
    """Import a scenario and send one request per task."""
    from loadgen.arguments import parse_custom, scenario_parser
    from loadgen.cli.listing import listing
    from loadgen.cli.terminal.screens import style_for
    from loadgen.scenario import load_scenario

    style = style_for(params, sys.stdout)
    columns = max(60, min(140, shutil.get_terminal_size((100, 24)).columns))
    scenario = load_scenario(file)
    custom = parse_custom(scenario.events, ctx.args)
    declared = scenario_parser(scenario.events).declared
    click.echo("\n".join(listing(scenario, declared, columns, style)))
    if params["bundle"]:
        from loadgen.bundle import build
        from loadgen.cli.bundling import bundle_lines

        click.echo("\n" + "\n".join(bundle_lines(build(scenario), columns, style)))
    if params["no_requests"]:
        return PASSED
    return _send(scenario, params, custom, style)


def _send(scenario: Scenario, params: dict[str, Any], custom: dict[str, Any], style: Style) -> int:
    """Run every task once, print each, and conclude."""
    from loadgen.cli.dryrun import dry_run, show_traceback
    from loadgen.environment import Environment

    environment = Environment(
        user_classes=scenario.user_classes,
        host=params["host"],
        tags=split_list(params["tags"]),
        exclude_tags=split_list(params["exclude_tags"]),
        events=scenario.events,
        parsed_options={"host": params["host"], **custom},
    )
    click.echo("\n" + style.bold("Each task once"))
    runs = []
    try:
        scenario.events.init.fire(environment=environment, runner=None, web_ui=None)
        scenario.events.test_start.fire(environment=environment)
        for run in dry_run(environment, scenario.user_classes):
            runs.append(run)
            click.echo("\n".join(style.glyphs(line) for line in lines_of(run, str(scenario.path), style)))
            if run.error is not None and params["verbose"]:
                show_traceback(run.error)
        scenario.events.test_stop.fire(environment=environment)
        scenario.events.quitting.fire(reverse=True, environment=environment)
    finally:
        if environment.has_http:
            environment.http.close()
    click.echo("\n".join(style.glyphs(line) for line in ("", *conclusion(runs, style))))
    return verdict(runs)


def lines_of(run: TaskRun, file: str, style: Style) -> list[str]:
    """One line per request of this task, one more for its exception."""
    from loadgen.cli.dryrun import place_of
    from loadgen.cli.terminal.text import pad, shorten
    from loadgen.units import format_latency

    name = pad(shorten(style.foreign(run.path), _NAME_COLUMNS), 24)
    lines = []
    for shot in run.shots:
        mark = style.bad("✗") if shot.error else style.good("✓")
        took = format_latency(shot.duration_ms * 1000)
        what = style.foreign(f"{shot.method} {shot.name}")
        lines.append(f" {mark} {name}  {shot.status or '–':>3}  {took:>8}  {what}")
        lines += [style.bad(f"     {shorten(style.foreign(shot.error), 160)}")] if shot.error else []
    if not run.shots and run.error is None:
        lines.append(f" {style.dim('–')} {name}  {style.dim('no request')}")
    if run.error is not None:
        where = f"{file}{place_of(run.error, file)}"
        text = style.foreign(f"{type(run.error).__name__}: {run.error}")
        lines += [
            f" {style.bad('✗')} {name}  {style.bad(shorten(text, 160))}",
            style.dim(f"     {style.foreign(where)}"),
        ]
    return lines


def conclusion(runs: list[TaskRun], style: Style) -> list[str]:
    """Names that would grow without bound, then one line of result."""
    from loadgen.cli.terminal.figures import plural
    from loadgen.cli.unbounded import suggested_name

    lines: list[str] = []
    for run in runs:
        for shot in run.shots:
            better = suggested_name(shot.name)
            if better:
                lines.append(style.warn("△ ") + style.foreign(f'{run.path}: "{shot.name}" has an id in its name.'))
                lines.append(style.foreign(f'  All ids in one row:  name="{better}"'))
    sent = sum(len(run.shots) for run in runs)
    failed = sum(len(run.failed_shots) for run in runs)
    raised = sum(run.error is not None for run in runs)
    tasks = sum(not run.path.endswith((".on_start", ".on_stop")) for run in runs)
    done = f"{plural(tasks, 'task')}, {plural(sent, 'request')}"
    wrong = " · ".join(filter(None, (f"{failed} failed" if failed else "", f"{raised} raised" if raised else "")))
    return [*dict.fromkeys(lines), style.bad(f"✗ {done}: {wrong}") if wrong else style.good(f"✓ {done}: all well")]


def verdict(runs: list[TaskRun]) -> int:
    """4 if a task raised without a failed request to blame, 7 if a request failed, else 0."""
    if any(run.error is not None and not run.failed_shots for run in runs):
        return USAGE_ERROR
    return TARGET_FAILED if any(run.failed_shots for run in runs) else PASSED

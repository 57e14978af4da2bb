"""`loadgen run FILE`: run a scenario, show it live, judge it, and exit."""

from __future__ import annotations

from typing import Any

import click

from loadgen import __version__
from loadgen.cli.options import (
    duration_option,
    output_options,
    run_settings,
    running_options,
    scenario_options,
    users_options,
)
from loadgen.cli.verb import Verb

_EXAMPLES = """
loadgen run scenario.py -H http://localhost:8000 -u 100 -r 20 -t 1m
loadgen run scenario.py -t 5m --threshold "p95 < 300ms" --json result.json
loadgen run scenario.py --workers inline     # one worker in this process, for a debugger
"""
_NOTES = "Arguments that the scenario declares are given like options: loadgen run scenario.py --my-argument 7"


@click.command(
    cls=Verb,
    examples=_EXAMPLES,
    notes=_NOTES,
    name="run",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("scenario")
@users_options()
@duration_option()
@scenario_options()
@running_options()
@output_options()
@click.pass_context
def command(ctx: click.Context, /, scenario: str, **params: Any) -> int:
    """Run a scenario, show it live, judge it, and exit."""
    from loadgen.arguments import parse_custom
    from loadgen.cli.running import execute
    from loadgen.cli.terminal.screens import make_screen
    from loadgen.hooks import events
    from loadgen.limits import raise_file_limit
    from loadgen.scenario import load_scenario

    raise_file_limit()
    loaded = load_scenario(scenario)
    custom = parse_custom(events, ctx.args)
    settings = run_settings(params, custom=custom)
    screen = make_screen(params, version=__version__)
    try:
        return execute(loaded, settings, screen)
    finally:
        screen.close()

"""`loadgen run FILE`: run a scenario, show it live, judge it, and exit."""

from __future__ import annotations

from typing import Any

import click

from loadgen import __version__
from loadgen.cli.options import (
    cluster_options,
    duration_option,
    output_options,
    run_file_options,
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
loadgen run scenario.py -u 9k --listen 0.0.0.0:5557 --expect-workers 8 --secret-file secret
"""
_NOTES = "Arguments that the scenario declares are given like options: loadgen run scenario.py --my-argument 7"


@click.command(
    cls=Verb,
    examples=_EXAMPLES,
    notes=_NOTES,
    name="run",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("scenario", required=False)
@users_options()
@duration_option()
@scenario_options()
@running_options()
@cluster_options()
@run_file_options()
@output_options()
@click.pass_context
def command(ctx: click.Context, /, scenario: str | None, resume: str | None, **params: Any) -> int:
    """Run a scenario, show it live, judge it, and exit."""
    from loadgen.arguments import parse_custom
    from loadgen.cli.resuming import open_run, resumed_settings
    from loadgen.cli.running import execute
    from loadgen.cli.terminal.screens import make_screen
    from loadgen.hooks import events
    from loadgen.limits import raise_file_limit
    from loadgen.scenario import load_scenario

    raise_file_limit()
    store = None if resume is None else open_run(resume, params["runs_dir"])
    try:
        if store is not None:
            scenario = scenario or store.record.scenario_path
        if scenario is None:
            raise click.UsageError("which scenario? loadgen run scenario.py …", ctx)
        loaded = load_scenario(scenario)
        custom = parse_custom(events, ctx.args)
        settings = run_settings(params, custom=custom)
        if store is not None:
            settings = resumed_settings(store.record, settings)
        screen = make_screen(params, version=__version__)
        try:
            return execute(loaded, settings, screen, store)
        finally:
            screen.close()
    finally:
        if store is not None:
            store.close()

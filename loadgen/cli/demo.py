"""`loadgen demo`: a bundled shop under rising load, and what there is to see in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import loadgen.demo
from loadgen import __version__
from loadgen.cli.exits import INTERRUPTED
from loadgen.cli.options import (
    COUNT,
    DURATION,
    option,
    output_options,
    run_settings,
    workers_option,
)
from loadgen.cli.verb import Verb

_RAMP_SHARE = 0.7  # of the time users are added; the rest shows the shop at full load

SCENARIO = Path(loadgen.demo.__file__).with_name("scenario.py")

EXAMPLES = """
loadgen demo                    # a shop, 2,400 visitors, 42 seconds
loadgen demo --json demo.json   # the same figures for a program
loadgen demo -u 600             # fewer visitors: no knee
"""


@click.command(cls=Verb, examples=EXAMPLES)
@option("-u", "--users", type=COUNT, default="2400", help="Virtual users at the end (default 2400).")
@option("-t", "--duration", type=DURATION, default="42s", help="How long (default 42s).")
@workers_option()
@output_options()
def command(**params: Any) -> int:
    """See a load test of a bundled service, offline, in under a minute."""
    from loadgen.cli.running import execute
    from loadgen.cli.terminal.screens import make_screen
    from loadgen.demo.lesson import lesson
    from loadgen.demo.shop import running_shop
    from loadgen.limits import raise_file_limit
    from loadgen.scenario import load_scenario

    raise_file_limit()
    screen = make_screen(params, version=__version__)
    with running_shop() as url:
        settings = run_settings(params, host=url, spawn_rate_per_s=params["users"] / (params["duration"] * _RAMP_SHARE))
        try:
            code = execute(replace(load_scenario(SCENARIO), name="demo"), settings, screen)
        finally:
            screen.close()
    if screen.result is not None and code != INTERRUPTED:
        screen.say("", *lesson(screen.result, screen.history))
    return code

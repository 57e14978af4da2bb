"""`loadgen doctor --master HOST:PORT`: why a worker cannot join, step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from loadgen.cli.exits import PASSED, USAGE_ERROR
from loadgen.cli.options import MASTER, look_options, option, secret_option
from loadgen.cli.verb import Verb

if TYPE_CHECKING:
    from loadgen.cli.terminal.style import Style
    from loadgen.wire.address import Address
    from loadgen.wire.probe import Finding, Step

EXAMPLES = """
loadgen doctor --master 10.0.0.5:5557 --secret-file secret
LOADGEN_SECRET=$(cat secret) loadgen doctor --master master.internal:5557
"""
NOTES = "It joins nothing and changes nothing. Exit codes: 0 a worker could join from here · 4 it could not"


@click.command(cls=Verb, examples=EXAMPLES, notes=NOTES, name="doctor")
@option("--master", required=True, type=MASTER, metavar="HOST:PORT", help="Where the master listens.")
@secret_option()
@look_options()
def command(**params: Any) -> int:
    """Say why a worker here cannot join that master."""
    from loadgen.cli.secret import HOW_TO_GIVE, HOW_TO_MAKE, find_secret
    from loadgen.cli.terminal.screens import style_for
    from loadgen.wire.keys import derive_keys
    from loadgen.wire.probe import Step, look

    address: Address = params["master"]
    style = style_for(params, sys.stdout)
    secret = find_secret(params["secret_file"])
    finding = look(address, None if secret is None else derive_keys(secret))
    lines = lines_of(finding, address, style)
    if secret is None and finding.failed is None:
        lines += [mark(Step.KEY, "no secret to try: " + HOW_TO_GIVE, style, good=False), f"            {HOW_TO_MAKE}"]
    click.echo("\n".join(lines))
    return PASSED if finding.passed is Step.PROTOCOL else USAGE_ERROR


def lines_of(finding: Finding, address: Address, style: Style) -> list[str]:
    """A line for each step that was tried, and one that says what to do about the last if it failed."""
    from loadgen.wire.probe import Step

    said = {
        Step.NAME: f"{address.host} is {', '.join(finding.addresses)}",
        Step.PORT: f"something listens at {address}",
        Step.KEY: "it is a loadgen master that accepts our key",
        Step.PROTOCOL: "it speaks the same protocol as this loadgen",
    }
    lines = [mark(step, text, style, good=True) for step, text in said.items() if step <= finding.passed]
    if finding.failed is not None:
        lines += [mark(finding.failed, finding.text, style, good=False), f"            {finding.hint}"]
    return lines


def mark(step: Step, text: str, style: Style, *, good: bool) -> str:
    sign = style.good("✓") if good else style.bad("✗")
    return style.glyphs(f"{sign} {step.name.lower():<9} ") + style.foreign(text)

"""The command line as a whole: its verbs, and what the user sees when something goes wrong.

A verb's module is imported when the verb is used, so that `loadgen --help` stays quick.
"""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from typing import Any

import click

from loadgen.cli.exits import (
    EXIT_CODES,
    INTERNAL_ERROR,
    INTERRUPTED,
    ORDER,
    TARGET_FAILED,
    TOO_FEW_WORKERS,
    USAGE_ERROR,
)
from loadgen.cli.terminal.text import clean
from loadgen.cli.verb import CONTEXT_SETTINGS, Invocation
from loadgen.errors import LoadgenError, TargetError, UsageError, WorkersMissing

# Each verb is `command` in loadgen/cli/<verb>.py. The text is shown by `loadgen --help`.
VERBS = {
    "run": "Run a scenario, show it live, judge it, and exit.",
    "quick": "Load one URL, without a scenario.",
    "check": "Import a scenario and send one request per task.",
    "demo": "See a load test of a bundled service, offline, in under a minute.",
    "worker": "Join a master and run virtual users for it.",
    "doctor": "Say why a worker here cannot join a master.",
    "keygen": "Make the secret that a master and its workers share.",
    "import-unacked": "Add to a run what a worker could not deliver.",
}

EXAMPLES = """\
Examples:
  loadgen demo                                      # offline, under a minute
  loadgen quick http://localhost:8000/ -c 50 -d 30s
  loadgen run scenario.py -u 500 -r 50 -t 5m --threshold "p95 < 300ms"
"""


def module_of(verb: str) -> Any:
    """The module of a verb; its name has underscores where the verb has dashes."""
    return importlib.import_module(f"loadgen.cli.{verb.replace('-', '_')}")


class LazyGroup(click.Group):
    """The `loadgen` command: knows its verbs by name and imports the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = module_of(cmd_name).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise click.UsageError(_unknown_verb(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: loadgen VERB [OPTIONS]\n\n{self.help}\n\n{EXAMPLES}\nVerbs:\n")
        formatter.write("".join(f"  {verb:<16}{text}\n" for verb, text in VERBS.items()))
        formatter.write("\nOptions:\n  -h, --help  Show this, or with a verb its options.\n")
        formatter.write("  --version   Show the version.\n\nExit codes")
        formatter.write(f" (the first that applies: {' '.join(map(str, ORDER))}):\n")
        formatter.write("".join(f"  {code}  {meaning}\n" for code, meaning in EXIT_CODES.items()))


def _unknown_verb(word: str) -> str:
    close = get_close_matches(word, VERBS, n=1)
    if close:
        return f'"{word}" is not a verb of loadgen. Did you mean "{close[0]}"?'
    if word.endswith(".py"):
        return f'"{word}" is not a verb of loadgen. Did you mean "loadgen run {word}"?'
    return f'"{word}" is not a verb of loadgen. The verbs are: {", ".join(VERBS)}'


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings=CONTEXT_SETTINGS)
@click.option("--version", is_flag=True, help="Show the version.")
@click.pass_context
def cli(ctx: click.Context, version: bool) -> None:
    """Load tests in Python, with numbers one can trust."""
    if version:
        click.echo(f"loadgen {installed_version()}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def installed_version() -> str:
    """The version of the installed package; "(not installed)" in a bare source tree."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("loadgen")
    except PackageNotFoundError:
        return "(not installed)"


def invoke(argv: list[str]) -> int:
    """The exit code of one command line. Errors are explained on stderr; nothing is raised."""
    invocation = Invocation()
    try:
        return int(cli.main(argv, prog_name="loadgen", standalone_mode=False, obj=invocation) or 0)
    except click.UsageError as exc:
        return _usage_error(exc)
    except click.ClickException as exc:
        _say(f"error: {exc.format_message()}")
        return USAGE_ERROR
    except LoadgenError as exc:
        return _expected_error(exc, invocation.verbose)
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return INTERRUPTED
    except Exception as exc:  # noqa: BLE001 -- the top of the program: a bug of ours, shown as one
        return _internal_error(exc)


def _usage_error(exc: click.UsageError) -> int:
    path = exc.ctx.command_path if exc.ctx else "loadgen"
    _say(f"error: {exc.format_message()}\n  see: {path} --help")
    return USAGE_ERROR


def _expected_error(exc: LoadgenError, verbose: bool) -> int:
    if verbose:
        _print_traceback(exc)
    _say(exc.render())
    if isinstance(exc, UsageError):
        return USAGE_ERROR
    if isinstance(exc, TargetError):
        return TARGET_FAILED
    return TOO_FEW_WORKERS if isinstance(exc, WorkersMissing) else INTERNAL_ERROR


def _internal_error(exc: Exception) -> int:
    _print_traceback(exc)
    _say(f"internal error: {type(exc).__name__}: {exc}\n  This is a bug in loadgen, not in your scenario.")
    return INTERNAL_ERROR


def _print_traceback(exc: BaseException) -> None:
    import traceback

    traceback.print_exception(exc, file=sys.stderr)


def _say(text: str) -> None:
    sys.stderr.write("\n".join(clean(line) for line in text.splitlines()) + "\n")

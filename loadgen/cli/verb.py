"""How a verb presents itself: what it does, then examples, then its options.

Every file of a verb has one `command`, made with `cls=Verb`.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from textwrap import wrap
from typing import Any

import click

from loadgen.errors import ConfigError

HELP_WIDTH = 100
CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}


@dataclass
class Invocation:
    """What the error handler must know of the command line that failed (click's `ctx.obj`)."""

    verbose: bool = False


class Verb(click.Command):
    """A command whose help shows `examples` (one per line) above its options and `notes` below."""

    def __init__(self, *args: Any, examples: str = "", notes: str = "", **kwargs: Any) -> None:
        kwargs["context_settings"] = {**CONTEXT_SETTINGS, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.notes = notes

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {ctx.command_path} {' '.join(self.collect_usage_pieces(ctx))}\n\n{self.help}\n")
        formatter.write("\nExamples:\n" + "".join(f"  {line}\n" for line in self.examples.strip().splitlines()))
        formatter.write("\nOptions:\n")
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = [record for param in options if (record := param.get_help_record(ctx))]
        column = max(len(names) for names, _ in records) + 2
        formatter.write("".join(f"  {names:<{column}}{text}\n" for names, text in records))
        if self.notes:
            lines = [part for line in self.notes.strip().splitlines() for part in wrap(line, HELP_WIDTH) or [""]]
            formatter.write("\n" + "\n".join(lines) + "\n")

    def invoke(self, ctx: click.Context) -> Any:
        """As in click. An option nobody knows, the scenario neither, may be one of ours mistyped."""
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            exc.hints = self._near_option(ctx, exc.message) or exc.hints
            raise

    def _near_option(self, ctx: click.Context, message: str) -> tuple[str, ...]:
        unknown = [word.partition("=")[0] for word in ctx.args if word.startswith("-")]
        ours = [name for param in self.params for name in param.opts if name.startswith("--")]
        for word in unknown:
            if message == f"unknown option {word}" and (near := get_close_matches(word, ours, n=1)):
                return (f'Did you mean "{near[0]}"?',)
        return ()

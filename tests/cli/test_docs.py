from __future__ import annotations

from pathlib import Path

import click
import pytest

from loadgen.cli.exits import EXIT_CODES, ORDER
from loadgen.cli.main import VERBS, module_of

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_is_documented(verb: str) -> None:
    assert f"| `loadgen {verb}" in PAGE


@pytest.mark.parametrize("code", list(EXIT_CODES))
def test_every_exit_code_is_documented(code: int) -> None:
    assert f"| {code} | {EXIT_CODES[code]} |" in PAGE


def test_the_order_of_exit_codes_is_documented() -> None:
    assert f"in the order {' '.join(map(str, ORDER))}." in PAGE


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_option_and_its_variable_is_documented(verb: str) -> None:
    command: click.Command = module_of(verb).command
    for param in command.params:
        if not isinstance(param, click.Option) or param.hidden:
            continue
        for name in param.opts:
            assert f"`{name}" in PAGE, name
        if param.envvar:
            assert f"`{param.envvar}`" in PAGE, param.envvar

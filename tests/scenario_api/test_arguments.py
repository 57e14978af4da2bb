"""Options that a scenario declares for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadgen.arguments import masked, parse_custom, scenario_parser
from loadgen.errors import ConfigError
from loadgen.hooks import Events


@pytest.fixture
def events() -> Events:
    events = Events()

    @events.init_command_line_parser.add_listener
    def declare(parser: Any, **_: Any) -> None:
        parser.add_argument("--tenant", "-T", default="green", env_var="TENANT", help="whose shop")
        parser.add_argument("--basket-size", type=int, default=1, env_var="BASKET")
        parser.add_argument("--verbose", action="store_true", env_var="VERBOSE")
        parser.add_argument("--region", is_multiple=True, default=[], env_var="REGIONS")
        parser.add_argument("--api-key", default="", is_secret=True, include_in_web_ui=False)
        group = parser.add_argument_group("rarely used")
        group.add_argument("--colour", choices=["red", "blue"], default="red", is_secret=False)

    return events


DEFAULTS = {"tenant": "green", "basket_size": 1, "verbose": False, "region": [], "api_key": "", "colour": "red"}


@pytest.mark.parametrize(
    ("argv", "environ", "changed"),
    [
        ([], {}, {}),
        (["--tenant", "blue", "--basket-size=3"], {}, {"tenant": "blue", "basket_size": 3}),
        (["-T", "blue", "--verbose"], {}, {"tenant": "blue", "verbose": True}),
        (["--region", "eu", "--region", "us"], {}, {"region": ["eu", "us"]}),
        ([], {"TENANT": "env", "BASKET": "7", "VERBOSE": "yes", "REGIONS": "a b"},
         {"tenant": "env", "basket_size": 7, "verbose": True, "region": ["a", "b"]}),
        (["--tenant", "typed"], {"TENANT": "env"}, {"tenant": "typed"}),
        (["--colour", "blue"], {}, {"colour": "blue"}),
    ],
)  # fmt: skip
def test_values_come_from_the_line_then_the_environment_then_the_default(
    events: Events, argv: list[str], environ: dict[str, str], changed: dict[str, Any]
) -> None:
    assert parse_custom(events, argv, environ) == {**DEFAULTS, **changed}


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["--tenat", "x"], "unknown option --tenat", 'Did you mean "--tenant"?'),
        (["--completely-else"], "unknown option --completely-else", "--tenant, --basket-size"),
        (["word"], "unexpected argument 'word'", ""),
        (["--basket-size", "many"], "invalid int value: 'many'", "--basket-size"),
        (["--colour", "green"], "invalid choice: 'green'", ""),
        (["--ten", "x"], "unknown option --ten", ""),
    ],
)
def test_mistakes_on_the_line_are_explained(events: Events, argv: list[str], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_custom(events, argv, {})

    assert message in caught.value.render()
    assert hint in caught.value.render()


def test_a_required_option_must_be_given(events: Events) -> None:
    @events.init_command_line_parser.add_listener
    def declare(parser: Any, **_: Any) -> None:
        parser.add_argument("--token", is_required=True, env_var="TOKEN", help="from the console")

    with pytest.raises(ConfigError, match=r"needs --token \(or set TOKEN\)"):
        parse_custom(events, [], {})
    assert parse_custom(events, [], {"TOKEN": "x"})["token"] == "x"


def test_positional_arguments_cannot_be_declared(events: Events) -> None:
    events.init_command_line_parser.add_listener(lambda parser, **_: parser.add_argument("file"))

    with pytest.raises(ConfigError, match="begin with --"):
        parse_custom(events, [])


def test_an_option_declared_twice_is_explained(events: Events) -> None:
    events.init_command_line_parser.add_listener(lambda parser, **_: parser.add_argument("--tenant"))

    with pytest.raises(ConfigError, match=r"--tenant wrongly: .*conflict"):
        parse_custom(events, [])


def test_an_error_in_the_declaring_function_names_it(events: Events) -> None:
    @events.init_command_line_parser.add_listener
    def explode(parser: Any, **_: Any) -> None:
        raise KeyError("oops")

    with pytest.raises(ConfigError, match=r"explode could not declare its options: KeyError: 'oops'"):
        parse_custom(events, [])


def test_values_that_cannot_travel_are_refused(events: Events) -> None:
    events.init_command_line_parser.add_listener(lambda parser, **_: parser.add_argument("--file", type=Path))

    with pytest.raises(ConfigError, match="type PosixPath"):
        parse_custom(events, ["--file", "x"])


def test_secret_values_are_hidden_when_shown(events: Events) -> None:
    parser = scenario_parser(events, {})

    assert masked({"api_key": "s3cret", "tenant": "blue"}, parser.declared) == {"api_key": "******", "tenant": "blue"}


def test_a_parser_knows_what_was_declared_for_forms(events: Events) -> None:
    declared = {one.name: one for one in scenario_parser(events, {}).declared}

    assert declared["--colour"].choices == ("red", "blue")
    assert declared["--api-key"].is_secret
    assert not declared["--api-key"].include_in_web_ui
    assert declared["--tenant"].env_var == "TENANT"


def test_a_scenario_without_own_options_accepts_none() -> None:
    assert parse_custom(Events(), []) == {}
    with pytest.raises(ConfigError, match="unknown option --x"):
        parse_custom(Events(), ["--x"])

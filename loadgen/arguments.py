"""Options a scenario declares for itself.

::

    @events.init_command_line_parser.add_listener
    def declare(parser, **kwargs):
        parser.add_argument("--tenant", default="green", env_var="SHOP_TENANT", help="whose shop")

Their values are `environment.parsed_options.tenant`. They travel to the workers as plain data, so a
value must be a text, a number, a bool, None, or a list or dict of these.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from loadgen.errors import ConfigError, UsageError
from loadgen.hooks import Events
from loadgen.nearness import nearest

HIDDEN = "******"
Group = argparse._ArgumentGroup


@dataclass(frozen=True, slots=True)
class Declared:
    """One option of a scenario, for help texts and forms."""

    name: str  # "--basket-size"
    dest: str  # "basket_size"
    default: Any
    help: str
    choices: tuple[Any, ...]
    is_secret: bool
    is_required: bool
    is_multiple: bool
    include_in_web_ui: bool
    env_var: str


class ScenarioParser(argparse.ArgumentParser):
    """What listeners of init_command_line_parser get: argparse, and a few things Locust added.

    `add_argument` also takes `env_var` (where the value comes from if the option is not given),
    `is_secret` (never shown), `is_required`, `is_multiple` (a list), `include_in_web_ui`.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(prog="loadgen run", add_help=False, allow_abbrev=False)
        self.declared: list[Declared] = []
        self._environ = os.environ if environ is None else environ

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        """As in argparse. Raises ConfigError for a positional argument: only options can be declared."""
        return self._declare(super().add_argument, names, kwargs)

    def add_argument_group(self, *args: Any, **kwargs: Any) -> Group:
        """A group with a title; its add_argument takes the same as the parser's."""
        return _grouped(self, super().add_argument_group(*args, **kwargs))

    def _declare(self, add: Any, names: tuple[str, ...], kwargs: dict[str, Any]) -> argparse.Action:
        if not names or not all(name.startswith("-") for name in names):
            raise ConfigError(f"the scenario declares {names}: its own options must begin with --")
        extras = {
            key: kwargs.pop(key, default)
            for key, default in (
                ("env_var", ""),
                ("is_secret", False),
                ("is_required", False),
                ("is_multiple", False),
                ("include_in_web_ui", True),
            )
        }
        extras["is_required"] = bool(extras["is_required"] or kwargs.pop("required", False))
        if extras["is_multiple"]:
            kwargs.setdefault("action", "append")
        try:
            action: argparse.Action = add(*names, **kwargs)
        except (argparse.ArgumentError, TypeError, ValueError) as exc:
            raise ConfigError(f"the scenario declares {names[0]} wrongly: {exc}") from exc
        self._from_environment(action, extras["env_var"])
        self.declared.append(
            Declared(
                name=max(names, key=len),
                dest=action.dest,
                default=action.default,
                help=action.help or "",
                choices=tuple(action.choices or ()),
                **extras,
            )
        )
        return action

    def _from_environment(self, action: argparse.Action, name: str) -> None:
        """A value in the environment is the default from then on; argparse converts it as if it was typed."""
        text = self._environ.get(name) if name else None
        if text is None:
            return
        if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction):
            action.default = text.strip().lower() in ("1", "true", "yes", "on")
        elif isinstance(action, argparse._AppendAction) or action.nargs not in (None, "?"):
            action.default = [self._get_value(action, part) for part in text.split()]
        else:
            action.default = text

    def error(self, message: str) -> NoReturn:
        """Where argparse would end the process."""
        raise ConfigError(f"an option of the scenario: {message}", hints=_list_of(self.declared))


def _grouped(parser: ScenarioParser, group: Group) -> Group:
    plain = group.add_argument
    group.add_argument = lambda *names, **kwargs: parser._declare(plain, names, kwargs)  # type: ignore[method-assign]
    return group


def scenario_parser(events: Events, environ: Mapping[str, str] | None = None) -> ScenarioParser:
    """A parser with every option that the listeners of init_command_line_parser declare."""
    parser = ScenarioParser(environ)
    hook = events.init_command_line_parser
    for listener in list(hook.listeners):  # not fire(): an error here is the user's to see
        try:
            listener(parser=parser)
        except UsageError:
            raise
        except Exception as exc:
            name = getattr(listener, "__qualname__", repr(listener))
            raise ConfigError(f"{name} could not declare its options: {type(exc).__name__}: {exc}") from exc
    return parser


def parse_custom(events: Events, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The values of the scenario's own options, as plain data by their names.

    `argv` is what the command line had left over. Raises ConfigError for an option nobody declared
    (with a hint if one is near), a missing or a wrong value.
    """
    parser = scenario_parser(events, environ)
    namespace, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise _unknown(unknown[0], parser.declared)
    values = vars(namespace)
    for one in parser.declared:
        if one.is_required and values.get(one.dest) in (None, "", []):
            source = f" (or set {one.env_var})" if one.env_var else ""
            raise ConfigError(f"the scenario needs {one.name}{source}", hints=(one.help,) if one.help else ())
    return {name: plain(value, name) for name, value in values.items()}


def _unknown(word: str, declared: Iterable[Declared]) -> ConfigError:
    option = word.partition("=")[0]
    if not option.startswith("-"):
        return ConfigError(f"unexpected argument {word!r}")
    near = nearest(option, [one.name for one in declared])
    hints = (f'Did you mean "{near}"?',) if near else _list_of(declared)
    return ConfigError(f"unknown option {option}", hints=hints)


def _list_of(declared: Iterable[Declared]) -> tuple[str, ...]:
    names = [one.name for one in declared]
    return (f"The scenario's own options: {', '.join(names)}",) if names else ()


def plain(value: Any, name: str) -> Any:
    """`value` as data that can be sent. Raises ConfigError if it is something else."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one, name) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(one, name) for key, one in value.items()}
    raise ConfigError(
        f"the scenario's option {name} has a value of type {type(value).__name__}, which cannot be sent to workers",
        hints=("Declare it with type=str (or int, float) and convert it where it is used.",),
    )


def masked(values: Mapping[str, Any], declared: Iterable[Declared]) -> dict[str, Any]:
    """The values to show: secret ones are hidden."""
    secret = {one.dest for one in declared if one.is_secret}
    return {name: HIDDEN if name in secret and value else value for name, value in values.items()}

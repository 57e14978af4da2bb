"""The options that several verbs share, declared once, and the RunSettings they make.

Every option `--some-name` can also come from the environment as LOADGEN_SOME_NAME (flag first).
Values carry their units: `10k` users, `50/s`, `1m30s`.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from loadgen.cli.verb import Invocation
from loadgen.errors import ConfigError
from loadgen.settings import DEFAULT_LEASE_S, DEFAULT_STOP_TIMEOUT_S, DEFAULT_WORKER_TIMEOUT_S, RunSettings
from loadgen.units import parse_count, parse_duration_s, parse_rate_per_s
from loadgen.wire.address import parse_address, parse_bind_address

AUTO_PROGRESS = -1.0
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_Command = TypeVar("_Command", bound=Callable[..., Any])
if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # no generic class at run time before click 8.4


class Decorator(Protocol):
    """What puts options on a verb."""

    def __call__(self, command: _Command, /) -> _Command: ...


class _Parsed(_ParamType):
    """A value read by one of the parsers of loadgen.units, whose ConfigError becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ConfigError as exc:
            self.fail("; ".join((exc.message, *exc.hints)), param, ctx)


class _Listed(_ParamType):
    """A text that may be given several times, in the environment separated by semicolons."""

    name = "text"
    envvar_list_splitter = ";"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


def _at_least_one(text: str) -> int:
    value = parse_count(text)
    if value < 1:
        raise ConfigError(f'"{text}" is too few', hints=("at least 1 is needed",))
    return value


def _positive_rate(text: str) -> float:
    value = parse_rate_per_s(text)
    if value <= 0:
        raise ConfigError(f'"{text}" would start nobody', hints=("write it like 50 or 50/s",))
    return value


def _positive_duration(text: str) -> float:
    value = parse_duration_s(text)
    if value <= 0:
        raise ConfigError(f'"{text}" is no time at all', hints=("leave it out to run until stopped",))
    return value


def _workers(text: str) -> int | str:
    return text if text in ("auto", "none", "inline") else _at_least_one(text)


def _processes(text: str) -> int | str:
    return text if text == "auto" else _at_least_one(text)


def _progress(text: str) -> float:
    """Seconds between progress lines; 0 for none; -1 for the usual bounded rhythm."""
    named = {"off": 0.0, "auto": AUTO_PROGRESS}
    return named[text] if text in named else _positive_duration(text)


COUNT = _Parsed("count", _at_least_one)
RATE = _Parsed("rate", _positive_rate)
DURATION = _Parsed("time", _positive_duration)
GRACE = _Parsed("time", parse_duration_s)
PROCESSES = _Parsed("processes", _processes)
MASTER = _Parsed("address", parse_address)
LISTEN = _Parsed("address", lambda text: str(parse_bind_address(text)))
LISTED = _Listed()


def option(*names: str, **attributes: Any) -> Decorator:
    """A click option that also reads LOADGEN_<LONG_NAME>."""
    long_name = next(name for name in names if name.startswith("--")).split("/")[0]
    attributes.setdefault("envvar", "LOADGEN_" + long_name.strip("-").replace("-", "_").upper())
    return click.option(*names, **attributes)


def _all(*decorators: Decorator) -> Decorator:
    def apply(command: _Command) -> _Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def _note_verbose(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    if value and isinstance(ctx.obj, Invocation):
        ctx.obj.verbose = True
    return value


def users_options() -> Decorator:
    """-u, -r: how many virtual users, how fast."""
    return _all(
        option("-u", "--users", type=COUNT, default="1", help="Virtual users, like 500 or 10k (default 1)."),
        option("-r", "--spawn-rate", type=RATE, help="Users started per second (default: all, at most 100/s)."),
    )


def duration_option(default: str | None = None) -> Decorator:
    text = f"default {default}" if default else "default: until Ctrl-C"
    return option("-t", "--duration", type=DURATION, default=default, help=f"How long, like 30s or 5m ({text}).")


def scenario_options() -> Decorator:
    """-H, --tags, --exclude-tags: what the scenario does where."""
    return _all(
        option("-H", "--host", metavar="URL", help="The target, instead of the scenario's own host."),
        option("--tags", multiple=True, type=LISTED, metavar="TAG,…", help="Only tasks with one of these tags."),
        option("--exclude-tags", multiple=True, type=LISTED, metavar="TAG,…", help="No tasks with one of these tags."),
    )


def workers_option() -> Decorator:
    """--workers: where virtual users run."""
    text = "Worker processes here: one per core, N, none, or inside this one."
    kind = _Parsed("workers", _workers)
    return option("--workers", type=kind, metavar="auto|N|none|inline", help=text)


def cluster_options() -> Decorator:
    """--listen and what goes with it: workers that join from other machines."""
    return _all(
        option("--listen", type=LISTEN, metavar="HOST:PORT", help="Let workers join from other machines."),
        option("--expect-workers", type=COUNT, metavar="N", help="Begin when so many have joined from elsewhere."),
        option("--min-workers", type=COUNT, metavar="N", help="After --worker-timeout begin with so few, too."),
        option("--worker-timeout", type=DURATION, help="How long to wait for them (default 1m)."),
        option("--lease", type=DURATION, help="How long a worker goes on without a master (default 1m)."),
        secret_option(),
    )


def run_file_options() -> Decorator:
    """--runs-dir, --resume: the file that a run is kept in."""
    return _all(
        option("--runs-dir", metavar="DIR", default="loadgen-runs", help="Where run files go (default loadgen-runs)."),
        option("--resume", metavar="RUN", help="Go on with a --listen run whose master has ended."),
    )


def secret_option() -> Decorator:
    """--secret-file: how workers and master know each other."""
    text = "Their shared secret, 64 hex digits (or in LOADGEN_SECRET)."
    return option("--secret-file", metavar="FILE", help=text)


def running_options() -> Decorator:
    """How it runs and is judged: --workers, --seed, --stop-timeout, --threshold, --strict-generator."""
    grace = f"{DEFAULT_STOP_TIMEOUT_S:g}s"
    return _all(
        workers_option(),
        option(
            "--threshold", multiple=True, type=LISTED, metavar="EXPR",
            help='What must hold: "p95 < 300ms". Repeatable (default: errors < 1%).',
        ),
        option("--stop-timeout", type=GRACE, default=grace, help=f"Time to finish tasks at the end (default {grace})."),
        option("--seed", type=int, metavar="N", help="Seed of all random choices (default: new, printed)."),
        option("--strict-generator", is_flag=True, help="Exit 6 if the generator itself was the bottleneck."),
    )  # fmt: skip


def output_options() -> Decorator:
    """What is written where: --json, logs, progress, colours."""
    return _all(
        option("--json", "json_path", metavar="FILE|-", help="Write the summary as JSON; - is stdout."),
        option(
            "-L", "--loglevel", default="INFO", metavar="LEVEL", type=click.Choice(LOG_LEVELS, case_sensitive=False),
            help="Log from DEBUG, INFO, WARNING, ERROR or CRITICAL on.",
        ),
        option("--logfile", metavar="FILE", help="Write the log there instead of the terminal."),
        option(
            "--progress", type=_Parsed("time", _progress), default="auto", metavar="TIME|off",
            help="Plain progress lines, one each TIME, or none.",
        ),
        look_options(),
    )  # fmt: skip


def look_options() -> Decorator:
    """--color, --ascii, -v: how it looks."""
    when = click.Choice(["auto", "always", "never"])
    return _all(
        option("--color", type=when, default="auto", metavar="WHEN", help="Colours: auto, always or never."),
        option("--ascii", is_flag=True, help="Only ASCII characters."),
        option("-v", "--verbose", is_flag=True, callback=_note_verbose, help="Show tracebacks of errors."),
    )


def run_settings(params: Mapping[str, Any], *, custom: Mapping[str, Any] | None = None, **forced: Any) -> RunSettings:
    """The settings that a verb's parsed options make; `forced` replaces single fields."""
    made: dict[str, Any] = {
        "users": params.get("users", 1),
        "spawn_rate_per_s": params.get("spawn_rate"),
        "duration_s": params.get("duration"),
        "host": params.get("host"),
        "tags": split_list(params.get("tags", ())),
        "exclude_tags": split_list(params.get("exclude_tags", ())),
        "seed": params.get("seed"),
        "workers": params.get("workers") or ("none" if params.get("listen") else "auto"),
        "listen": params.get("listen"),
        "secret_file": params.get("secret_file"),
        "expect_workers": params.get("expect_workers") or 0,
        "min_workers": params.get("min_workers"),
        "worker_timeout_s": params.get("worker_timeout") or DEFAULT_WORKER_TIMEOUT_S,
        "lease_s": params.get("lease") or DEFAULT_LEASE_S,
        "thresholds": tuple(text.strip() for text in params.get("threshold", ()) if text.strip()),
        "json_path": params.get("json_path"),
        "loglevel": str(params.get("loglevel", "INFO")).upper(),
        "logfile": params.get("logfile"),
        "stop_timeout_s": params.get("stop_timeout", DEFAULT_STOP_TIMEOUT_S),
        "strict_generator": params.get("strict_generator", False),
        "runs_dir": params.get("runs_dir") or "loadgen-runs",
        "command": typed_command(sys.argv),
        "custom": dict(custom or {}),
    }
    return RunSettings(**{**made, **forced})


def split_list(values: tuple[str, ...]) -> tuple[str, ...]:
    """The words of `a,b c`, given once or several times, each once."""
    words = (word for value in values for word in value.replace(",", " ").replace(";", " ").split())
    return tuple(dict.fromkeys(words))


def typed_command(argv: list[str]) -> str:
    """The command line as it can be typed again, with what looks secret masked."""
    words = ["loadgen", *argv[1:]]
    masked = ["***" if _is_secret(words, index) else _mask_inline(word) for index, word in enumerate(words)]
    return " ".join(shlex.quote(word) for word in masked)


_SECRET_WORDS = ("passw", "secret", "token", "api-key", "apikey", "api_key", "auth", "cookie", "credential")
_SECRET_QUERY = re.compile(rf"([?&][^=&#]*(?:{'|'.join(_SECRET_WORDS)})[^=&#]*=)[^&#]*", re.IGNORECASE)


def _is_secret(words: list[str], index: int) -> bool:
    before = words[index - 1].lower() if index else ""
    if not before.startswith("--") or "=" in before or before.endswith("-file"):
        return False
    return any(word in before for word in _SECRET_WORDS)


def _mask_inline(word: str) -> str:
    name, sign, value = word.partition("=")
    if sign and _is_secret([name, value], 1):
        return f"{name}=***"
    header, colon, value = word.partition(":")
    if colon and not value.startswith("//") and any(secret in header.lower() for secret in _SECRET_WORDS):
        return f"{header}: ***"
    word = _SECRET_QUERY.sub(r"\1***", word)
    scheme, slashes, rest = word.partition("://")
    userinfo, at, place = rest.partition("@")
    return f"{scheme}://***@{place}" if slashes and at and "/" not in userinfo else word

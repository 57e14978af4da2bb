"""The language of thresholds: text in, a tree of plain values out.

    threshold  = metric [ "of" name ] comparison value
    metric     = "errors" | "rate" | "min" | "mean" | "max" | "p" number        p50, p95, p99.9, …
    name       = quoted text: 'POST /cart' (method and name) or '/cart' (any method)
    comparison = "<" | "<=" | ">" | ">="
    value      = number unit             1% for errors, 1900/s for rate, 300ms or 0.3s for the others

A threshold says what must hold. Each token keeps its position, so that an error can point at it.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from loadgen.errors import ConfigError


class Measure(Enum):
    """What a metric measures, and so which units its limit may have."""

    SHARE = "share"  # 0 … 1
    RATE = "rate"  # per second
    LATENCY = "latency"  # microseconds


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric by its name in the text; `q` only for percentiles (0.95 for p95)."""

    name: str
    measure: Measure
    q: float | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """What must hold. `limit` is in the base unit of the measure: a share, per second, or microseconds."""

    expr: str
    metric: Metric
    endpoint: str | None  # as written after "of"; None: all requests
    comparison: str
    limit: float
    limit_text: str  # "< 300ms"
    origin: str  # where it was written: "loadtest.py:14", "--threshold"

    def holds(self, actual: float) -> bool:
        return COMPARISONS[self.comparison](actual, self.limit)


COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SAME_COMPARISON = {"≤": "<=", "≥": ">=", "=<": "<=", "=>": ">="}

_PLAIN_METRICS = {
    "errors": Metric("errors", Measure.SHARE),
    "rate": Metric("rate", Measure.RATE),
    "min": Metric("min", Measure.LATENCY),
    "mean": Metric("mean", Measure.LATENCY),
    "max": Metric("max", Measure.LATENCY),
}
_OTHER_WORDS = {  # what people write who come from other tools
    "error": "errors",
    "error_rate": "errors",
    "failures": "errors",
    "fail": "errors",
    "rps": "rate",
    "throughput": "rate",
    "avg": "mean",
    "average": "mean",
    "median": "p50",
    "med": "p50",
    "p100": "max",
    "p0": "min",
    "latency": "p95",
    "response_time": "p95",
}
_UNITS: dict[Measure, dict[str, float]] = {
    Measure.SHARE: {"%": 0.01},
    Measure.RATE: {"/s": 1.0, "/sec": 1.0, "/m": 1 / 60, "/min": 1 / 60, "/h": 1 / 3600},
    Measure.LATENCY: {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7, "min": 6e7},
}
_EXAMPLE_UNIT = {Measure.SHARE: "%", Measure.RATE: "/s", Measure.LATENCY: "ms"}
_MULTIPLES = {"k": 1e3, "K": 1e3, "M": 1e6}

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?)")
_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<quoted>'[^']*'|"[^"]*")
    | (?P<comparison><=|>=|=<|=>|<|>|≤|≥|==?|!=)
    | (?P<number>\d[\d_]*(?:,\d{3})*(?:\.\d+)?)
    | (?P<unit>%|/[A-Za-z]+)
    | (?P<word>[A-Za-zµ_][\w.]*)
    | (?P<other>.)
    """,
    re.VERBOSE,
)
EXAMPLES = ("errors < 1%", "p95 < 300ms", "p99.9 of 'POST /cart' < 0.8s", "rate > 1900/s")


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int  # characters before it


def parse(text: str, origin: str = "--threshold") -> Threshold:
    """The threshold in `text`. Raises ConfigError LG501, which points at the place and shows what would be right."""
    return _Parser(text, origin).threshold()


def tokens(text: str) -> list[Token]:
    """All tokens but spaces, then one of kind "end"."""
    found = [Token(match.lastgroup or "", match[0], match.start()) for match in _TOKEN.finditer(text)]
    return [token for token in found if token.kind != "space"] + [Token("end", "", len(text))]


class _Parser:
    """Recursive descent, one method per rule of the grammar."""

    def __init__(self, text: str, origin: str) -> None:
        self._text = text
        self._origin = origin
        self._tokens = tokens(text)
        self._next = 0

    def threshold(self) -> Threshold:
        metric = self._metric()
        endpoint = self._endpoint()
        comparison = self._comparison(metric)
        limit, limit_text = self._value(metric)
        rest = self._peek()
        if rest.kind != "end":
            raise self._error(rest, f'"{rest.text}" is not expected here; the threshold is complete before it')
        return Threshold(self._text.strip(), metric, endpoint, comparison, limit, limit_text, self._origin)

    def _metric(self) -> Metric:
        token = self._take()
        if token.kind == "word":
            if token.text in _PLAIN_METRICS:
                return _PLAIN_METRICS[token.text]
            match = _PERCENTILE.fullmatch(token.text)
            if match and 0 < float(match[1]) < 100:
                return Metric(token.text, Measure.LATENCY, round(float(match[1]) / 100, 9))
        raise self._error(token, self._no_metric(token))

    def _no_metric(self, token: Token) -> str:
        names = ", ".join([*_PLAIN_METRICS, "p50 … p99.9"])
        if token.kind == "end":
            return f"a metric is missing; there are {names}"
        close = difflib.get_close_matches(token.text.lower(), [*_PLAIN_METRICS, "p50", "p90", "p95", "p99"], 1)
        guess = _OTHER_WORDS.get(token.text.lower()) or (close[0] if close else "")
        return f'"{token.text}" is no metric; ' + (f'did you mean "{guess}"?' if guess else f"there are {names}")

    def _endpoint(self) -> str | None:
        if (self._peek().kind, self._peek().text) != ("word", "of"):
            return None
        self._take()
        token = self._take()
        if token.kind != "quoted" or len(token.text) < 3:
            raise self._error(token, "after \"of\" belongs a name in quotes, like 'POST /cart' or '/cart'")
        return token.text[1:-1]

    def _comparison(self, metric: Metric) -> str:
        token = self._take()
        text = _SAME_COMPARISON.get(token.text, token.text)
        if token.kind != "comparison" or text not in COMPARISONS:
            example = "rate > 100/s" if metric.measure is Measure.RATE else f"{metric.name} < 1{_unit(metric)}"
            raise self._error(token, f'here belongs <, <=, > or >=, as in "{example}"')
        return text

    def _value(self, metric: Metric) -> tuple[float, str]:
        """(limit in the base unit, comparison and limit as written)."""
        number = self._take()
        if number.kind != "number":
            raise self._error(number, f'a number belongs here, like "{metric.name} < 300{_unit(metric)}"')
        value = float(number.text.replace("_", "").replace(",", ""))
        unit = self._peek()
        if unit.text in _MULTIPLES and metric.measure is Measure.RATE:
            value *= _MULTIPLES[self._take().text]
            unit = self._peek()
        if unit.kind == "end":
            right = f"{self._text.strip()}{_unit(metric)}"
            raise self._error(unit, f'unit missing. Write "{right}"')
        factor = _UNITS[metric.measure].get(unit.text)
        if factor is None:
            known = ", ".join(_UNITS[metric.measure])
            raise self._error(unit, f'"{unit.text}" is no unit of {metric.name}; there are {known}')
        self._take()
        limit = value * factor
        written = self._text[number.at : unit.at + len(unit.text)]
        return limit, f"{self._last_comparison(number)} {written}"

    def _last_comparison(self, number: Token) -> str:
        before = self._tokens[self._tokens.index(number) - 1].text
        return _SAME_COMPARISON.get(before, before)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _error(self, token: Token, why: str) -> ConfigError:
        message = f'threshold "{self._text.strip()}" ({self._origin}): {why}'
        pointer = f"{self._text}\n{' ' * token.at}^"
        return ConfigError(
            message if message.endswith(("?", ".")) else f"{message}.",
            code="LG501",
            hints=(pointer, "examples: " + "   ".join(EXAMPLES)),
        )


def _unit(metric: Metric) -> str:
    return _EXAMPLE_UNIT[metric.measure]

"""One parser and one printer for durations, rates, counts and sizes, used everywhere.

`parse_*` raise ConfigError naming the text and what a right one looks like.
"""

from __future__ import annotations

import re

from loadgen.errors import ConfigError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_COUNT = re.compile(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?)([kKmM]?)")
_PER = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration_s(text: str) -> float:
    """Seconds from `20`, `20s`, `1m30s`, `1h`, `250ms`. A bare number means seconds."""
    clean = text.strip().lower()
    try:
        return _positive(float(clean))
    except ValueError:
        pass
    if clean and _PART.sub("", clean) == "":
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(clean))
    raise ConfigError(f'"{text}" is not a duration', hints=("write it like 30s, 1m30s, 2h or 250ms",))


def _positive(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(value)
    return value


def parse_count(text: str) -> int:
    """A whole number from `500`, `10k`, `1.5M`, `1_000`."""
    match = _COUNT.fullmatch(text.strip())
    if match:
        number = float(match[1].replace("_", "").replace(",", ""))
        value = number * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
        if value == int(value):
            return int(value)
    raise ConfigError(f'"{text}" is not a whole number', hints=("write it like 500, 10k or 1.5M",))


def parse_rate_per_s(text: str) -> float:
    """Events per second from `200/s`, `600/min`, `1k/s`, or a bare number (per second)."""
    number, slash, unit = text.strip().partition("/")
    match = _COUNT.fullmatch(number.strip())
    if match and (not slash or unit.strip().lower() in _PER):
        value = float(match[1].replace("_", "").replace(",", ""))
        value *= {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()]
        return value / (_PER[unit.strip().lower()] if slash else 1.0)
    raise ConfigError(f'"{text}" is not a rate', hints=("write it like 200/s, 600/min or 1k/s",))


def format_latency(us: float) -> str:
    """`0.21 ms`, `4.6 ms`, `412 ms`, `1.62 s`, `16.2 s`, `02:05`: two or three significant places."""
    ms = us / 1000
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1000:.2f} s"
    if ms < 99_950:
        return f"{ms / 1000:.1f} s"
    return format_duration(ms / 1000)


def format_duration(seconds: float) -> str:
    """`00:42`, `09:50`, `1:02:03`: minutes and seconds, hours where there are any."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes:02d}:{secs:02d}"


def format_bytes(count: float) -> str:
    """`512 B`, `4.0 KiB`, `1.5 MiB`, …"""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

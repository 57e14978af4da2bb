"""Where the shared secret of master and workers comes from: a file, or LOADGEN_SECRET; never a command line."""

from __future__ import annotations

import os
from pathlib import Path

from loadgen.errors import ConfigError

HOW_TO_GIVE = "give it as --secret-file FILE or in LOADGEN_SECRET, the same on the master and on every worker"
HOW_TO_MAKE = "make one with: loadgen keygen --out secret"


def find_secret(path: str | None) -> bytes | None:
    """The secret in the file, or else in LOADGEN_SECRET; None if there is neither. Raises ConfigError."""
    from loadgen.wire.keys import parse_secret  # loads zmq, which --help must not

    if path is not None:
        return parse_secret(_read(path), where=f"the secret file {path}")
    text = os.environ.get("LOADGEN_SECRET", "")
    return parse_secret(text, where="LOADGEN_SECRET") if text else None


def need_secret(path: str | None, who: str) -> bytes:
    """The secret; ConfigError that says how to make and give one if there is none."""
    secret = find_secret(path)
    if secret is None:
        raise ConfigError(f"{who} needs a shared secret", code="LG307", hints=(HOW_TO_MAKE, HOW_TO_GIVE))
    return secret


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"the secret file {path} is not text", hints=(HOW_TO_MAKE,)) from exc
    except OSError as exc:
        raise ConfigError(f"cannot read the secret file {path}: {exc.strerror}", hints=(HOW_TO_MAKE,)) from exc

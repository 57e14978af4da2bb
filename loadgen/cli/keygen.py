"""`loadgen keygen`: a new secret for a master and its workers."""

from __future__ import annotations

import os
import secrets

import click

from loadgen.cli.verb import Verb
from loadgen.errors import ConfigError

_SECRET_BYTES = 32  # what loadgen.wire.keys asks for; that module loads zmq, which nothing here needs
_ONLY_US = 0o600

EXAMPLES = """
loadgen keygen --out secret        # a file that only you can read
export LOADGEN_SECRET=$(loadgen keygen)
"""


@click.command(cls=Verb, examples=EXAMPLES, name="keygen")
@click.option("--out", metavar="FILE", help="Write it there, readable for you alone, instead of printing it.")
def command(out: str | None) -> int:
    """Make a secret: who has it can be master or worker, nobody else can be either."""
    text = secrets.token_hex(_SECRET_BYTES) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return 0
    write_secret(out, text)
    click.echo(f"wrote a new secret to {out}; give the same file to the master and to every worker", err=True)
    return 0


def write_secret(path: str, text: str) -> None:
    """Write `text` to a new file that only its owner can read. Raises ConfigError; overwrites nothing."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _ONLY_US)
    except FileExistsError as exc:
        raise ConfigError(
            f"{path} exists already, and whoever uses it would be locked out by a new one",
            hints=("choose another name, or remove it yourself",),
        ) from exc
    except OSError as exc:
        raise ConfigError(f"cannot write the secret to {path}: {exc.strerror}") from exc
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)

"""Where log records go: to the screen, or with --logfile to a file. Those of workers come over the wire."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from loadgen.cli.screen import Screen
from loadgen.errors import ConfigError

if TYPE_CHECKING:
    from loadgen.master.ledger import LogRecord


class _Sink(Protocol):
    def __call__(self, line: str) -> None: ...


class LogOutput(logging.Handler):
    """Writes one line per record: time, level, who, logger, message."""

    def __init__(self, sink: _Sink) -> None:
        super().__init__()
        self._sink = sink

    def write(self, record: LogRecord) -> None:
        """A record of a worker."""
        self._line(record.wall_s, logging.getLevelName(record.level), record.worker, record.logger, record.message)

    def emit(self, record: logging.LogRecord) -> None:
        """A record of this process."""
        self._line(record.created, record.levelname, "master", record.name, self.format(record))

    def _line(self, wall_s: float, level: str, who: str, logger: str, message: str) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(wall_s))
        self._sink(f"{clock} {level:<7} {who} {logger}: {message}")


@contextmanager
def log_output(level: str, logfile: str | None, screen: Screen) -> Iterator[LogOutput]:
    """Send the log to `screen`, or to `logfile`, at `level`. Raises ConfigError if the file cannot be written."""
    if logfile is None:
        with _installed(LogOutput(screen.log), level) as output:
            yield output
        return
    try:
        stream = open(logfile, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed below
    except OSError as exc:
        raise ConfigError(f"cannot write the log to {logfile}: {exc.strerror}") from exc
    with stream, _installed(LogOutput(lambda line: print(line, file=stream)), level) as output:
        yield output


@contextmanager
def _installed(output: LogOutput, level: str) -> Iterator[LogOutput]:
    root = logging.root
    before = root.level
    root.addHandler(output)
    root.setLevel(level)
    try:
        yield output
    finally:
        root.removeHandler(output)
        root.setLevel(before)

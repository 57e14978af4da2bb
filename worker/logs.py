"""The scenario's log records, on their way to the master."""

from __future__ import annotations

import logging

from loadgen.metrics.recorder import Recorder


class RecorderHandler(logging.Handler):
    """Hands every record to the recorder, which bounds them and counts what it drops."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
        except Exception as exc:  # noqa: BLE001 - the scenario's own arguments do not fit its format
            message = f"{record.msg!r} (cannot be formatted: {exc})"
        self._recorder.log(record.levelno, record.name, message, record.created)


def send_logs_to(recorder: Recorder, level: str) -> RecorderHandler:
    """Install the handler on the root logger at `level`; gives it back for `logging.root.removeHandler`."""
    handler = RecorderHandler(recorder)
    logging.root.addHandler(handler)
    logging.root.setLevel(level)
    return handler

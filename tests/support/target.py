"""A real HTTP server in a process of its own that counts and times everything it answers.

::

    with target() as t:
        ...                         # load t.url + "/delay/50ms" with anything
        t.stats()["total"]          # complete requests that arrived
        t.durations("/delay/50ms")  # what the server itself measured, in microseconds

What it serves stands in `tests.support.target_server`.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from urllib.request import urlopen

import trustme

ROOT = Path(__file__).resolve().parents[2]


class Target:
    """A running server. `ca_file` is set when it speaks TLS."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        self.url = url
        self.ca_file = ca_file
        self._tls = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def stats(self) -> dict[str, Any]:
        """`total`, and by path, method and status: complete requests since the start or the last reset."""
        return self._control("/__stats__")

    def count(self, path: str | None = None) -> int:
        """Complete requests for `path`, or for all paths."""
        stats = self.stats()
        return int(stats["total"] if path is None else stats["requests"].get(path, 0))

    def durations(self, path: str) -> list[float]:
        """Microseconds from a request's last byte to its answer, in order of the answers."""
        return [float(value) for value in self._control(f"/__log__?path={quote(path)}")["durations_us"]]

    def request_ids(self, path: str) -> list[str]:
        """The X-Request-Id of each request, in order of arrival; "" where there was none."""
        return list(self._control(f"/__log__?path={quote(path)}")["request_ids"])

    def reset(self) -> None:
        """Forget what was counted and logged."""
        self._control("/__reset__")

    def _control(self, path: str) -> dict[str, Any]:
        with urlopen(self.url + path, timeout=10, context=self._tls) as response:
            return cast("dict[str, Any]", json.load(response))


@contextmanager
def target(*, tls: bool = False) -> Iterator[Target]:
    """A server on a free loopback port; with `tls` its certificate is for "localhost" and 127.0.0.1."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.support.target_server"]
        ca_file = None
        if tls:
            ca_file, certificate = write_certificates(Path(folder))
            command += ["--certificate", str(certificate)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                port = process.stdout.readline().strip()
                assert port, "the target did not start; its stderr is above"
                yield Target(f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}", ca_file)
            finally:
                process.stdin.close()  # asks it to end
                process.wait(timeout=10)


def write_certificates(folder: Path) -> tuple[Path, Path]:
    """A new authority's certificate, and a file with key and certificate for this machine signed by it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    ca_file, certificate = folder / "ca.pem", folder / "localhost.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    leaf.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return ca_file, certificate

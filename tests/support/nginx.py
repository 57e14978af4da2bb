"""nginx with one worker, which counts what it served: the reference for totals and for CPU per request.

Needs an `nginx` command (Debian's will do); callers ask `nginx_is_here()` first and say why they skip.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tests.support.target import write_certificates

SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
WHY_NOT = "nginx is not installed (apt-get install nginx)"
MAX_CONNECTIONS = 32_768  # 10,000 idle users, and room

CONFIG = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
error_log {folder}/error.log error;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    log_format status "$status";
    access_log {access_log};
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000; keepalive_timeout 1h;
    open_file_cache max=10; types {{ application/json json; }}
    ssl_certificate {certificate}; ssl_certificate_key {certificate};
    ssl_protocols TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
    server {{
        listen 127.0.0.1:{http} backlog=4096;
        listen 127.0.0.1:{https} ssl backlog=4096;
        root {folder};
        location / {{ return 200 "ok\\n"; }}
        location ~ \\.json$ {{ }}
        location = /__stats__ {{ access_log off; stub_status; }}
    }}
}}
"""


class Nginx:
    """A running nginx. `http_url` and `https_url` serve the same: `/` two letters, `/4k.json` 4 KiB."""

    def __init__(self, http_url: str, https_url: str, ca_file: Path, access_log: Path) -> None:
        self.http_url = http_url
        self.https_url = https_url
        self.ca_file = ca_file
        self._access_log = access_log
        self._own_requests = 0

    def begun(self) -> int:
        """Requests whose first byte has arrived, without our own questions; cheap, one request each."""
        return self._status()["requests"] - self._own_requests

    def connected(self) -> int:
        """Connections open now, without our own."""
        return self._status()["active"] - 1

    def served(self) -> int:
        """Requests answered to the end: lines of the access log."""
        with open(self._access_log, "rb") as lines:
            return sum(1 for _ in lines)

    def _status(self) -> dict[str, int]:
        self._own_requests += 1
        with urlopen(self.http_url + "/__stats__", timeout=30) as response:
            text = response.read().decode()
        found = re.search(r"Active connections: (\d+).*?\n\s*\d+ \d+ (\d+)", text, re.DOTALL)
        assert found, text
        return {"active": int(found[1]), "requests": int(found[2])}


def nginx_is_here() -> bool:
    return shutil.which("nginx", path=SEARCH_PATH) is not None


@contextmanager
def nginx(*, log_requests: bool = True) -> Iterator[Nginx]:
    """A server on two free loopback ports. Without `log_requests`, `served` stays 0 and a request costs less."""
    command = shutil.which("nginx", path=SEARCH_PATH)
    assert command, WHY_NOT
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ca_file, certificate = write_certificates(folder)
        (folder / "4k.json").write_text(json.dumps({"items": ["x" * 60] * 63, "pad": "x" * 42}))
        access_log = folder / "access.log"
        access_log.touch()
        http, https = free_port(), free_port()
        config = CONFIG.format(
            folder=folder,
            files=MAX_CONNECTIONS,
            user="user root;" if os.geteuid() == 0 else "",  # else the worker could not read our folder
            connections=MAX_CONNECTIONS,
            access_log=f"{access_log} status" if log_requests else "off",
            certificate=certificate,
            http=http,
            https=https,
        )
        (folder / "nginx.conf").write_text(config)
        arguments = ["-p", name, "-e", f"{name}/error.log", "-c", f"{name}/nginx.conf"]
        with subprocess.Popen([command, *arguments]) as process:
            try:
                wait_for_port(http, process)
                yield Nginx(f"http://127.0.0.1:{http}", f"https://localhost:{https}", ca_file, access_log)
            finally:
                process.terminate()
                process.wait(timeout=20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, f"nginx ended with {process.returncode}: see above"
            assert time.monotonic() < ends, "nginx does not answer"
            time.sleep(0.02)

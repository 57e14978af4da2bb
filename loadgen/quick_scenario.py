"""The scenario of `loadgen quick`: one request, again and again, without any wait.

What to send stands in the run's options, so that every worker can import this file by its path.
"""

from __future__ import annotations

from typing import Any

from loadgen import HttpUser, constant, task


class Visitor(HttpUser):
    """Sends the one request of this run as often as the target answers."""

    wait_time = constant(0)

    def on_start(self) -> None:
        options: Any = self.environment.parsed_options
        self.method: str = options.quick_method
        self.path: str = options.quick_path
        self.name: str = options.quick_name  # secrets in the query masked
        self.arguments: dict[str, Any] = {"headers": dict(options.quick_headers)}
        if options.quick_body is not None:
            self.arguments["data"] = options.quick_body
        if options.quick_login is not None:
            user, _, password = options.quick_login.partition(":")
            self.arguments["auth"] = (user, password)
        if options.quick_insecure:
            self.arguments["verify"] = False

    @task
    def visit(self) -> None:
        self.client.request(self.method, self.path, name=self.name, **self.arguments)

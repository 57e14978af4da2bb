"""Scenarios to bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loadgen.bundle import Bundle
from loadgen.scenario import Scenario

SHOP = """from loadgen import HttpUser, task

class Shopper(HttpUser):
    @task
    def look(self):
        self.client.get("/")
"""
Build = Callable[..., Bundle]
Load = Callable[..., Scenario]


def write(folder: Path, files: dict[str, str]) -> None:
    """Make these files below the folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def paths(bundle: Bundle) -> list[str]:
    return [file.path for file in bundle.files]

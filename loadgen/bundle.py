"""Bundles: a scenario with all it needs from its own folder, as one block of bytes that other machines can run.

`build` makes one where the scenario is, on the master; the rest is the way to a worker, one step a file in
`loadgen.wire`::

    build ─ chunks ─ BundleStore, BundleSender ═══ Receiver ─ BundleCache (extract) → the path of the scenario file

In it: the scenario file, the modules it imports from its own folder (packages and their submodules too), the files
it declares (`files = ["users.csv"]`), and its test data. Not in it: what is installed, the standard library,
anything outside the folder. The home folder and `/` are never taken for a scenario's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadgen.wire.bundle_archive import pack, verify
from loadgen.wire.bundle_cache import BundleCache
from loadgen.wire.bundle_chunks import CHUNK_BYTES, WINDOW, Receiver, chunks
from loadgen.wire.bundle_declared import data_files, declared_files, declared_patterns
from loadgen.wire.bundle_extract import extract
from loadgen.wire.bundle_folder import ScenarioFolder
from loadgen.wire.bundle_format import DEFAULT_LIMITS, HARD_LIMITS, BundleFile, Limits, limits_for
from loadgen.wire.bundle_modules import loaded_modules, own_modules
from loadgen.wire.bundle_store import BundleSender, BundleStore

if TYPE_CHECKING:
    from loadgen.scenario import Scenario

__all__ = [
    "Bundle",
    "BundleFile",
    "Limits",
    "DEFAULT_LIMITS",
    "HARD_LIMITS",
    "limits_for",
    "build",
    "CHUNK_BYTES",
    "WINDOW",
    "chunks",
    "BundleStore",
    "BundleSender",
    "Receiver",
    "verify",
    "extract",
    "BundleCache",
]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A scenario ready to be sent. `sha256` names its content; `data` is what travels.

    `entry` is the path of the scenario file in it. `outside` are modules (name, file) that the scenario imports and
    that are neither in its folder nor installed: a worker must find them by itself.
    """

    sha256: str
    entry: str
    files: tuple[BundleFile, ...]
    data: bytes
    outside: tuple[tuple[str, str], ...] = ()

    @property
    def total_bytes(self) -> int:
        """The size of the files, before compression."""
        return sum(file.size for file in self.files)


def build(scenario: Scenario, limits: Limits = DEFAULT_LIMITS) -> Bundle:
    """The bundle of an imported scenario; the same files give the same name on every machine.

    Raises ScenarioError (LG12x) if something it needs cannot or must not travel.
    """
    folder = ScenarioFolder(scenario.path)
    entry = scenario.path.name
    modules = own_modules(folder, entry)
    if others := sorted(modules.files - {entry}):
        folder.refuse_shared(f'"{others[0]}"')
    declared = declared_files(folder, declared_patterns(scenario.module, scenario.path))
    read = data_files(folder, [scenario.module.__name__, *loaded_modules(folder)])
    paths = sorted(modules.files | declared | read)
    contents = {path: folder.read(path, size) for path, size in folder.sizes(paths, limits).items()}
    folder.refuse_changed(contents[entry], scenario.sha256)
    table, data = pack(entry, contents)
    return Bundle(table.sha256, entry, table.files, data, tuple(sorted(modules.outside.items())))

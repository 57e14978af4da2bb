"""What the master hands out to workers besides commands: the scenario's bundle, and rows of shared data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from loadgen.bundle import Bundle, BundleSender, BundleStore
from loadgen.errors import Malformed
from loadgen.master.rows import RowLeases


class Supplies:
    """`at_home` are workers on this machine, which read the scenario in place."""

    def __init__(self, bundle: Bundle | None = None, at_home: Collection[bytes] = ()) -> None:
        self.store = BundleStore()
        self.sender = BundleSender(self.store)
        self.rows = RowLeases()
        self._bundle = bundle
        self._at_home = at_home
        if bundle is not None:
            self.store.put(bundle.sha256, bundle.data)

    def bundle_for(self, uid: bytes) -> dict[str, Any] | None:
        """What this worker is to ask for; None if it reads the scenario in place."""
        if self._bundle is None or uid in self._at_home:
            return None
        return self.store.announce(self._bundle.sha256)

    def left(self, worker: str, rows_used: object) -> None:
        """A worker said goodbye, and how many rows of each source it used."""
        try:
            self.rows.left(worker, rows_used if isinstance(rows_used, dict) else {})
        except Malformed:
            self.rows.lost(worker)

    def gone(self, worker: str, peer: bytes) -> None:
        """A worker is lost."""
        self.sender.gone(peer)
        self.rows.lost(worker)

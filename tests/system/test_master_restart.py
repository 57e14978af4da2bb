"""A master that was killed and is resumed. That everything is counted once, whatever else happens: test_faults."""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.target import target


def test_a_resumed_master_that_is_stopped_at_once_still_collects_everything(tmp_path: Path) -> None:
    """It must hear of its workers before it may think that they are all done."""
    with target() as served:
        cluster = Cluster(tmp_path, served, 2)
        with cluster.worker(), cluster.worker():
            with cluster.master(2) as master:
                cluster.wait_for_everybody(2)
                master.process.kill()
                master.finish()
            with cluster.resumed() as master:
                master.wait_for("listening on")
                cluster.end(master)

        assert cluster.summary["run"]["complete"] is True
        assert cluster.summary["totals"]["requests"] == served.count()

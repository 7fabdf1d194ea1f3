"""The short form of `make chaos`. The long form takes ten minutes."""

from __future__ import annotations

import shutil

from tests.support.needs import need
from tests.support.s3_server import missing_programs
from tools.chaos.run import run, short_plan

SEED = 1


def test_every_scan_comes_to_its_one_right_end_whatever_goes_wrong(tmp_path):
    need(missing_programs(), "radosgw ceph-mon ceph-osd")
    need([] if shutil.which("redis-server") else ["redis-server"], "redis-server")
    outcome = run(short_plan(SEED), tmp_path, print)
    assert outcome.faults == []
    # Faults did occur.
    for what in (
        "children killed", "workers killed", "Redis restarted", "S3 stopped", "S3 slow or failing",
        "S3 refused", "children with a broken device", "children with no threads left",
    ):  # fmt: skip
        assert outcome.counts[what] > 0

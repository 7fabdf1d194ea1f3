"""How many requests to a real S3 server a scan costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from tests.support.estimators import FindsNobody
from worker.config.settings import read_settings
from worker.intake.announce import announce
from worker.keys import ScanId
from worker.scans.attempt import Attempt
from worker.scans.job import Job
from worker.scans.process import Outcome, Report, process
from worker.scans.self_check import OwnProcess
from worker.scans.transfer import limits_of
from worker.storage.base import Storage
from worker.storage.opening import open_storages
from worker.storage.s3 import S3Storage

SCAN = ScanId("scan")
FRAMES = 40


def test_a_scan_costs_no_more_writes_than_it_has_files_and_six(
    here, s3_server, s3_path, make_scan, monkeypatch
):
    settings = read_settings(
        s3_endpoint_url=s3_server.endpoint,
        scans_url=f"s3://{s3_path}/scans",
        results_url=f"s3://{s3_path}/results",
    )
    scans, results = open_storages(settings)
    for name, data in make_scan(frames=FRAMES).items():
        scans.write(f"{SCAN}/{name}", data, "application/octet-stream")
    calls: Counter[str] = Counter()
    for storage in (scans, results):
        assert isinstance(storage, S3Storage)
        storage._client.meta.events.register("before-call.s3", lambda model, **_: calls.update([model.name]))
    announce(SCAN, settings, results, lambda _: None)

    def work(guarded: Storage, force: bool, report: Report, note_files: Callable[[str], None]) -> Outcome:
        return process(
            SCAN, scans, guarded, FindsNobody(), limits_of(settings), report, note_files=note_files
        )

    monkeypatch.setattr("worker.scans.status.PROGRESS_EVERY", timedelta(0))  # as if frames took a second
    own = OwnProcess("p1", replaceable=True, check=lambda: None)
    outcome = Attempt(Job(SCAN), settings, work, lambda *_: None, own).run()
    files = len(outcome.result.artefacts) + 1
    assert calls["PutObject"] <= files + 6
    # One for each file of the scan, and what is asked before.
    assert calls["GetObject"] <= 2 * FRAMES + 1 + 5
    assert calls["ListObjectsV2"] <= 4
    assert calls["DeleteObject"] == 0
    assert len(results.objects(SCAN, 1000)) == files + 1

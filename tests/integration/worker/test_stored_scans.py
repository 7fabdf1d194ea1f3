"""Which scans have something among the results: over a folder and a real S3 server."""

from __future__ import annotations

import pytest

from worker.config.urls import url_of_folder
from worker.keys import ScanId
from worker.scans.stored_scans import StoredScans
from worker.scans.tombstones import write_tombstone
from worker.storage.base import Storage
from worker.storage.opening import open_storage


@pytest.fixture(params=["file", "s3"])
def results(request, tmp_path) -> Storage:
    if request.param == "file":
        return open_storage(url_of_folder(tmp_path / "results"), "results", None)
    path = request.getfixturevalue("s3_path")
    return open_storage(f"s3://{path}", "results", request.getfixturevalue("s3_server").endpoint)


def test_nothing_is_stored_at_first(results):
    assert StoredScans.listed(results).among([ScanId("a")]) == set()
    assert StoredScans.listed(results).among([]) == set()


def test_stored_and_erased_scans_are_known(results):
    # "-" and "_" come before and after letters, "." and "/" in the order of keys.
    names = [ScanId(each) for each in ("-first", "_", "0", "Z", "a", "a-1", "a1", "z")]
    for name in names:
        results.write(f"{name}/status.json", b"{}", "application/json")
    erased = [ScanId(f"erased-{number}") for number in range(5)]
    for name in erased:
        write_tombstone(results, name)
    others = [ScanId(each) for each in ("-", "a-", "b", "erased", "erased-5", "status")]
    known = StoredScans.listed(results)
    assert known.among([*others, *names, *erased]) == {*names, *erased}

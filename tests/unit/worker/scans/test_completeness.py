"""A scan is complete when all its files are there. How that is known depends on its `scan.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from worker.keys import ScanId
from worker.scans.completeness import ScanIncomplete, check_complete
from worker.storage.base import ObjectChanged, StoredObject
from worker.storage.memory import MemoryStorage

SCAN = ScanId("scan")
QUIET_S = 10.0


def check(files: dict[str, bytes], ages: Sequence[float | None] = (1000.0,)) -> str | None:
    """Return why a scan with these files is incomplete, or None; `ages` are those of its files in turn."""
    storage = MemoryStorage({f"scan/{name}": data for name, data in files.items()})
    listed = storage.objects(SCAN, 100)
    listed = [replace(each, age_s=ages[number % len(ages)]) for number, each in enumerate(listed)]
    try:
        check_complete(storage, SCAN, listed, QUIET_S)
    except ScanIncomplete as error:
        return str(error)
    return None


def with_record(frames: int, there: int) -> dict[str, bytes]:
    artefacts = [
        {"format": role, "order": order, "file": f"{role}/{order}.{role}"}
        for order in range(frames)
        for role in ("rgb", "depth")
    ]
    names = [artefact["file"] for artefact in artefacts][:there]
    record = json.dumps({"type": 100, "artifacts": artefacts}).encode()
    return {"scan.json": record, "camera_calibration.txt": b"c", **{str(name): b"x" for name in names}}


def test_all_files_that_the_record_names_must_be_there():
    assert check(with_record(9, 18), ages=[0.0]) is None  # nobody has to wait then
    assert check(with_record(9, 17)) == "incomplete: 17 of 18 files"
    assert check(with_record(9, 3)) == "incomplete: 3 of 18 files"
    assert check(with_record(9, 0)) == "incomplete: 0 of 18 files"


def test_a_name_counts_as_it_is_read():
    files = with_record(1, 1)
    assert check({**files, "DEPTH/0.depth": b"x"}) is None


def test_without_a_record_no_file_may_be_new():
    files = {"camera_calibration.txt": b"c", "rgb/a": b"x", "depth/a": b"x"}
    assert check(files) is None
    assert check(files, ages=[1000.0, 1000.0, QUIET_S]) is None
    assert check(files, ages=[1000.0, 1000.0, QUIET_S - 1]) == "incomplete: its files are still coming"
    assert check(files, ages=[None]) is None


def test_a_record_that_cannot_be_read_may_still_be_written():
    files = {"scan.json": b'{"type": 100, "arti', "rgb/a": b"x"}
    assert check(files, ages=[1.0]) == "incomplete: its files are still coming"
    assert check(files) is None  # the scan fails when it is read


@pytest.mark.parametrize(("age_s", "wait_s"), [(4.0, 6.0), (-86_400.0, 10.0)])
def test_it_is_known_how_long_to_wait(age_s, wait_s):
    files = [StoredObject("scan/a", 1, None, age_s)]
    with pytest.raises(ScanIncomplete) as error:
        check_complete(MemoryStorage(), SCAN, files, QUIET_S)
    assert error.value.wait_s == wait_s


def test_a_record_that_goes_away_meanwhile_is_a_change():
    with pytest.raises(ObjectChanged):
        check_complete(MemoryStorage(), SCAN, [StoredObject("scan/scan.json", 5)], QUIET_S)

from __future__ import annotations

import numpy as np
import pytest

from worker.scans.sweep_index import UNKNOWN, SweepIndex, hashes_of

NAMES = [f"scan-{number}" for number in range(100)]


def filled(names: list[str]) -> SweepIndex:
    index = SweepIndex.from_bytes(None)
    for number, key in enumerate(hashes_of(names)):
        index.put(int(key), number)
    return index


def test_a_scan_is_found_with_its_digest_also_after_it_was_stored():
    index = filled(NAMES)
    for each in (index, SweepIndex.from_bytes(index.to_bytes())):
        assert each.find(hashes_of([*NAMES, "another"])) == [*range(100), UNKNOWN]
        assert len(each) == 100


def test_a_digest_can_be_replaced():
    index = SweepIndex.from_bytes(filled(NAMES).to_bytes())
    assert not index.changed
    index.put(int(hashes_of(["scan-3"])[0]), 77)
    assert index.changed
    again = SweepIndex.from_bytes(index.to_bytes())
    assert again.find(hashes_of(["scan-2", "scan-3"])) == [2, 77]
    assert len(again) == 100


def test_a_scan_takes_twelve_bytes():
    assert len(filled(NAMES).to_bytes()) - len(SweepIndex.from_bytes(None).to_bytes()) == 12 * 100


def test_scans_that_are_not_stored_any_more_leave_it():
    index = filled(NAMES)
    index.keep(np.concatenate([hashes_of(NAMES[:10]), hashes_of(["another"])]))
    assert len(index) == 10
    assert index.find(hashes_of(NAMES[8:12])) == [8, 9, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize("content", [b"", b"no index", b"sweep/1\n12345", b"sweep/2\n" + 12 * b"1"])
def test_an_index_that_cannot_be_read_is_empty(content):
    assert len(SweepIndex.from_bytes(content)) == 0
    assert SweepIndex.from_bytes(content).find(hashes_of(NAMES)) == [UNKNOWN] * 100

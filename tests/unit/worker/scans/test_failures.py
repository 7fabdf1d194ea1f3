from __future__ import annotations

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from pose.errors import DeviceUnavailable, InvalidDepthFile, InvalidManifest, InvalidScan, InvalidWeights
from worker.scans.failures import LONGEST_DELAY_S, ErrorPolicy, Quarantined, classify_error, retry_delay_s
from worker.storage.base import ObjectChanged, ScanMissing, ScanTooLarge, StorageUnavailable


@pytest.mark.parametrize(
    "error",
    [
        InvalidScan("scan", "frames", "none"),
        InvalidDepthFile("depth of frame 1", "header", "not ASCII"),
        InvalidManifest("scan", "step", "105"),
        ScanMissing("no files"),
        ScanTooLarge("more than 4 bytes"),
    ],
)
def test_a_scan_that_cannot_be_used_is_final_and_told_why(error):
    verdict = classify_error(error)
    assert (verdict.passing, verdict.expected, verdict.reason) == (False, True, str(error))


@pytest.mark.parametrize(
    "error",
    [
        StorageUnavailable("the storage of scans: it is full"),
        ObjectChanged("a file of the scan changed while it was read"),
        DeviceUnavailable("cuda is not there"),
        InvalidWeights("damaged"),
    ],
)
def test_what_may_be_better_later_is_tried_again(error):
    verdict = classify_error(error)
    assert (verdict.passing, verdict.expected, verdict.reason) == (True, True, str(error))


def test_memory_that_is_full_may_be_free_later_and_no_text_of_others_is_told():
    verdict = classify_error(MemoryError("Unable to allocate 8.00 GiB for rgb_p1_1622182020448_100_1.jpg"))
    assert (verdict.passing, verdict.expected) == (True, True)
    assert verdict.reason == "there is not enough memory at the moment"


def test_what_was_set_aside_is_final():
    assert classify_error(Quarantined("poison: …")) == ErrorPolicy(
        passing=False, expected=True, reason="poison: …"
    )


def test_a_scan_that_takes_too_long_is_final():
    verdict = classify_error(SoftTimeLimitExceeded())
    assert (verdict.passing, verdict.expected) == (False, True)
    assert "time limit" in verdict.reason


def test_of_a_fault_of_ours_only_the_type_is_told():
    verdict = classify_error(KeyError("rgb_p1_1622182020448_100_1.jpg"))
    assert (verdict.passing, verdict.expected) == (False, False)
    assert verdict.reason == "unexpected error: KeyError"


def test_the_delay_doubles_up_to_a_minute_and_is_never_the_same_for_all():
    longest = [retry_delay_s(attempt, 2.0, jitter=lambda: 1.0) for attempt in range(2, 12)]
    shortest = [retry_delay_s(attempt, 2.0, jitter=lambda: 0.0) for attempt in range(2, 12)]
    assert longest[:6] == [2, 4, 8, 16, 32, LONGEST_DELAY_S]
    assert shortest == [each / 2 for each in longest]
    assert retry_delay_s(10_000, 60.0) <= LONGEST_DELAY_S

from __future__ import annotations

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from pose.errors import DeviceUnavailable, InvalidDepthFile, InvalidManifest, InvalidScan, InvalidWeights
from worker.scans.failures import ErrorPolicy, Quarantined, classify_error
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
    policy = classify_error(error)
    assert (policy.transient, policy.expected, policy.reason) == (False, True, str(error))


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
    policy = classify_error(error)
    assert (policy.transient, policy.expected, policy.reason) == (True, True, str(error))


def test_memory_that_is_full_may_be_free_later_and_no_text_of_others_is_told():
    policy = classify_error(MemoryError("Unable to allocate 8.00 GiB for rgb_p1_1622182020448_100_1.jpg"))
    assert (policy.transient, policy.expected) == (True, True)
    assert policy.reason == "there is not enough memory at the moment"


def test_what_was_set_aside_is_final():
    assert classify_error(Quarantined("poison: …")) == ErrorPolicy(
        transient=False, expected=True, reason="poison: …"
    )


def test_a_scan_that_takes_too_long_is_final():
    policy = classify_error(SoftTimeLimitExceeded())
    assert (policy.transient, policy.expected) == (False, True)
    assert "time limit" in policy.reason


def test_of_a_fault_of_ours_only_the_type_is_told():
    policy = classify_error(KeyError("rgb_p1_1622182020448_100_1.jpg"))
    assert (policy.transient, policy.expected) == (False, False)
    assert policy.reason == "unexpected error: KeyError"

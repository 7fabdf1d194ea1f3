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
def test_an_invalid_scan_is_final_and_has_a_reason(error):
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
def test_transient_errors_are_tried_again(error):
    policy = classify_error(error)
    assert (policy.transient, policy.expected, policy.reason) == (True, True, str(error))


def test_a_memory_error_is_transient_and_its_text_is_not_repeated():
    policy = classify_error(MemoryError("Unable to allocate 8.00 GiB for rgb_p1_1622182020448_100_1.jpg"))
    assert (policy.transient, policy.expected) == (True, True)
    assert policy.reason == "there is not enough memory at the moment"


def test_quarantine_is_final():
    assert classify_error(Quarantined("poison: …")) == ErrorPolicy(
        transient=False, expected=True, reason="poison: …"
    )


def test_a_scan_that_takes_too_long_is_final():
    policy = classify_error(SoftTimeLimitExceeded())
    assert (policy.transient, policy.expected) == (False, True)
    assert "time limit" in policy.reason


def test_an_unexpected_error_is_named_only_by_its_type():
    policy = classify_error(KeyError("rgb_p1_1622182020448_100_1.jpg"))
    assert (policy.transient, policy.expected) == (False, False)
    assert policy.reason == "unexpected error: KeyError"

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from billiard.exceptions import SoftTimeLimitExceeded

from pose.errors import DeviceUnavailable, InvalidDepthFile, InvalidManifest, InvalidScan, InvalidWeights
from tests.support.exhausted import no_descriptor_left, no_thread_left
from worker.ledger.base import LedgerUnavailable
from worker.models.out_of_memory import OutOfMemory
from worker.scans.completeness import ScanIncomplete
from worker.scans.failures import TOO_LONG, ErrorPolicy, Fault, Quarantined, classify_error
from worker.storage.base import ObjectChanged, ScanMissing, ScanTooLarge, StorageUnavailable
from worker.time_limit import TimeLimitReached

NO_MEMORY = "there is not enough memory at the moment"
PERSON = "rgb_p1_1622182020448_100_1.jpg"


@pytest.mark.parametrize(
    "error",
    [
        InvalidScan("scan", "frames", "none can be read"),
        InvalidDepthFile("depth of frame 1", "header", "not ASCII"),
        InvalidManifest("scan", "step", "105"),
        ScanTooLarge("more than 4 bytes"),
        Quarantined("poison: …"),
    ],
)
def test_a_scan_that_cannot_be_used_is_at_fault_and_has_a_reason(error):
    assert classify_error(error) == ErrorPolicy(Fault.SCAN, str(error))


@pytest.mark.parametrize("error", [ScanMissing("no files"), ScanIncomplete("incomplete: 3 of 18 files")])
def test_a_scan_whose_files_are_still_to_come_waits(error):
    assert classify_error(error) == ErrorPolicy(Fault.UPLOAD, str(error))


@pytest.mark.parametrize(
    "error",
    [
        StorageUnavailable("the storage of scans: it is full"),
        ObjectChanged("a file of the scan changed while it was read"),
        LedgerUnavailable("Redis cannot be used"),
    ],
)
def test_a_storage_or_redis_that_is_away_is_no_fault_of_scan_or_process(error):
    assert classify_error(error) == ErrorPolicy(Fault.SERVICE, str(error))


@pytest.mark.parametrize("error", [StorageUnavailable("away"), LedgerUnavailable("away")])
def test_a_process_that_can_open_no_file_only_thinks_that_a_service_is_away(error):
    with no_descriptor_left():
        policy = classify_error(error)
    assert policy == ErrorPolicy(Fault.MACHINE, "the worker's process has too many open files")


def start_thread() -> None:
    with no_thread_left():
        threading.Thread(target=print).start()


def raised_by(fault: Callable[[], object]) -> Exception:
    try:
        fault()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def no_memory_for_network() -> None:
    """Torch raises a plain RuntimeError for it. The result would have 4 petabytes."""
    torch.nn.Upsample(scale_factor=2**25)(torch.zeros(1, 1, 1, 1))


def no_memory_in_opencv() -> None:
    cv2.resize(np.zeros((2, 2), np.uint8), (2**31 - 1, 2**31 - 1))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            MemoryError(f"Unable to allocate 8.00 GiB for {PERSON}"),
            "there is not enough memory at the moment",
        ),
        (raised_by(no_memory_in_opencv), "there is not enough memory at the moment"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU's memory is full"),
        (torch.AcceleratorError("CUDA error: unknown error"), "the device of the model has failed"),
        (raised_by(no_memory_for_network), "the model's network cannot be run at the moment"),
        (raised_by(start_thread), "the worker's machine has no threads left"),
        (OSError(errno.ENOSPC, "full", PERSON), "the worker's machine: No space left on device"),
        (BlockingIOError(errno.EAGAIN, "fork"), "the worker's machine: Resource temporarily unavailable"),
        (TimeoutError(), "the worker's machine: TimeoutError"),
        (OutOfMemory("the GPU's memory is full"), "the GPU's memory is full"),
        (DeviceUnavailable("cuda is not there"), "cuda is not there"),
        (InvalidWeights("damaged"), "damaged"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
def test_what_a_machine_lacks_is_never_the_scans_fault(error, reason):
    assert classify_error(error) == ErrorPolicy(Fault.MACHINE, reason)


def test_the_time_limit_is_the_fault_of_the_storage_that_it_struck_in():
    reason = "the storage of results: too slow, the time limit came first"
    assert classify_error(TimeLimitReached("the storage of results")) == ErrorPolicy(Fault.SERVICE, reason)


@pytest.mark.parametrize("error", [TimeLimitReached(), SoftTimeLimitExceeded()])
def test_nobody_knows_why_an_analysis_takes_too_long(error):
    assert classify_error(error) == ErrorPolicy(Fault.UNKNOWN, TOO_LONG, TOO_LONG)


def test_an_unexpected_error_is_named_only_by_its_type():
    policy = classify_error(KeyError(PERSON))
    assert policy == ErrorPolicy(Fault.UNKNOWN, "unexpected error: KeyError", "KeyError in ")


def test_two_unexpected_errors_are_alike_if_they_come_from_the_same_function():
    from pose import read_scan_files
    from worker.keys import artefact_key

    first, second, other = (
        raised_by(lambda: read_scan_files(None)),  # type: ignore[arg-type]
        raised_by(lambda: read_scan_files(None)),  # type: ignore[arg-type]
        raised_by(lambda: artefact_key("scan", None)),  # type: ignore[arg-type]
    )
    kinds = [classify_error(error).kind for error in (first, second, other)]
    assert kinds[0] == kinds[1] != kinds[2]
    assert kinds[2] == "TypeError in worker.keys.artefact_key"
    # Not every RuntimeError with that text is a thread that was refused.
    assert classify_error(RuntimeError("can't start new thread")).fault is Fault.UNKNOWN

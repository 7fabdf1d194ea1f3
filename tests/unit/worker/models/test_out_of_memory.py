from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from pose import Frame
from pose.estimators.base import Detections
from tests.support.estimators import FindsNobody
from tests.support.rendered import person
from worker.models.out_of_memory import OutOfMemory, OutOfMemoryFallback
from worker.scans.failures import Fault, classify_error

FRAMES = list(range(16))
PEOPLE = [person(np.zeros((17, 2))) for _ in FRAMES]  # each is the one person of its frame
FOUND = [[each] for each in PEOPLE]


class Small(FindsNobody):
    """On a GPU with room for `fits` frames. Finds one person in each frame, see `PEOPLE`."""

    min_score = 0.35

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.asked: list[int] = []

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.asked.append(len(frames))
        if len(frames) > self.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [Detections([PEOPLE[frame]]) for frame in frames]  # type: ignore[call-overload]


def estimate(estimator: OutOfMemoryFallback) -> Any:
    return estimator.estimate(FRAMES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fits", "asked"),
    [(16, [16]), (8, [16, 8, 8]), (5, [16, 8, 4, 4, 4, 4]), (1, [16, 8, 4, 2, *[1] * 16])],
)
def test_frames_are_halved_until_they_fit_and_none_is_lost_or_changes_its_place(fits, asked):
    small = Small(fits)
    assert estimate(OutOfMemoryFallback(small)) == FOUND
    assert small.asked == asked


def test_memory_that_becomes_full_in_between_costs_no_frame():
    small = Small(8)
    halved = OutOfMemoryFallback(small)
    inner = small.detect

    def fuller(frames: Sequence[Frame]) -> list[Detections]:
        found = inner(frames)
        small.fits = 3
        return found

    small.detect = fuller  # type: ignore[method-assign]
    assert estimate(halved) == FOUND
    assert small.asked[:6] == [16, 8, 8, 4, 2, 2]


def test_if_no_frame_fits_the_error_is_transient():
    with pytest.raises(OutOfMemory, match="the GPU's memory is full") as error:
        estimate(OutOfMemoryFallback(Small(0)))
    policy = classify_error(error.value)
    assert policy.fault is Fault.MACHINE
    assert policy.reason == "the GPU's memory is full: not even one frame fits"


def test_if_allowed_the_cpu_does_the_rest_and_is_loaded_once():
    small, made = Small(0), []

    def on_cpu() -> Small:
        made.append(Small(100))
        return made[-1]

    sparing = OutOfMemoryFallback(small, on_cpu)
    assert estimate(sparing) == FOUND
    assert estimate(sparing) == FOUND
    assert [each.asked for each in made] == [[16, 16]]


def test_other_errors_pass_through():
    def fault() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        estimate(OutOfMemoryFallback(FindsNobody(before=fault), Small))  # type: ignore[arg-type]


def test_it_has_the_name_version_and_min_score_of_its_estimator():
    sparing = OutOfMemoryFallback(Small(1))
    assert (sparing.name, sparing.version, sparing.min_score) == ("finds-nobody", "1", 0.35)


def test_no_frames_are_no_work():
    assert OutOfMemoryFallback(Small(0)).estimate([]) == []


class Doubtful(Small):
    """Has low-confidence detections only."""

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [Detections([], found.people) for found in super().detect(frames)]


def test_low_confidence_detections_are_kept_when_batches_are_halved():
    small = Doubtful(8)
    detected: Any = OutOfMemoryFallback(small).detect(FRAMES)  # type: ignore[arg-type]
    assert [found.low_confidence for found in detected] == FOUND
    assert small.asked == [16, 8, 8]


def test_what_the_analysis_asks_an_estimator_is_that_of_the_one_within():
    class Measuring(FindsNobody):
        uses_depth, min_score, runtime = True, 0.25, "paper 1"

    within = Measuring()
    outside = OutOfMemoryFallback(within)
    for asked in ("name", "version", "min_score", "uses_depth", "runtime"):
        assert getattr(outside, asked) == getattr(within, asked)

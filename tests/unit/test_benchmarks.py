"""What `make bench` compares with is the original's method, and what it counts is right."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

import pose
from benchmarks.measuring import Timing, measure, total
from benchmarks.original import _floor, _smoothed, rest_of_frame
from benchmarks.throughput import _s3_calls, memory_of
from pose.synthetic.scan_writer import scan_files

# As the original computes them for three frames of a plush dog.
FLOORS = (-0.9706, -0.9715, -0.9703)


def test_the_floor_is_that_of_the_original(plush: Path) -> None:
    for frame, floor in zip(pose.read_scan(plush).frames, FLOORS, strict=True):
        found = _floor(frame.depthmap, _smoothed(frame.depthmap.depth))
        assert found == pytest.approx(floor, abs=2e-3)


def test_the_original_lifts_and_blurs_a_frame() -> None:
    truth: dict = {"frames": []}
    scan = pose.read_scan_files(dict(scan_files(1, "standing", 1, truth=truth)))
    frame = scan.frames[0]
    (person,) = truth["frames"][0]["people"][:1]
    keypoints = np.array([(each["u"], each["v"]) for each in person["keypoints"]])
    joints, _, picture = rest_of_frame(frame.rgb, frame.depthmap, keypoints)
    assert joints.shape == (17, 3)
    assert 0.3 < joints[:, 1].max() < 2.5
    assert picture.startswith(b"\xff\xd8")


def test_a_ratio_is_of_the_cpu_time() -> None:
    slow = Timing("slow", 100.0, 50.0, 1, 1)
    runs = itertools.count()
    found = measure("quick", lambda: next(runs), threads=1, runs=3, against=slow)
    assert next(runs) == 4  # one more warms up
    assert found.compared_with == "slow"
    assert found.ratio == found.cpu_ms / 50.0
    assert total("both", [(slow, 2)]).cpu_ms == 100.0


def test_calls_of_s3_are_counted_by_kind() -> None:
    line = '… beast: 0x1: 127.0.0.1 - test [26/Nov/2026] "{} HTTP/1.1" 200 1 - "Boto3" - latency=0.0s'
    calls = ("GET /scans?list-type=2&prefix=a", "GET /scans/a", "PUT /results/a", "PUT /results/b")
    log = "\n".join([*(line.format(call) for call in calls), "====== req done ======"])
    assert _s3_calls(log) == {"LIST": 1, "GET": 1, "PUT": 2, "HEAD": 0, "DELETE": 0}


def test_own_memory_is_a_part_of_all_memory() -> None:
    found = memory_of(os.getpid())
    assert 0 < found.uss <= found.pss <= found.rss

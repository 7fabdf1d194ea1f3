"""Measure the stages of an analysis, a whole scan, and the networks, on a rendered scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

import pose
import pose.threads
from benchmarks.measuring import Timing, measure, total
from benchmarks.original import EagerNetworks, rest_of_frame
from pose.analysis.depth_picture import depth_picture, encode_png
from pose.analysis.overlay import overlay
from pose.detectors import build_detector
from pose.estimators.detector import Detector
from pose.estimators.topdown import TopDown
from pose.geometry.alignment import measure_alignment
from pose.geometry.floor import floor_height
from pose.geometry.orientation import turn_picture, turns_for_step
from pose.hrnet import build_hrnet
from pose.lifting.lift import lift_in_view
from pose.privacy.find_heads import find_all_heads
from pose.privacy.redact import redact
from pose.scan.calibration import is_calibration, parse_calibration
from pose.scan.pictures import decode_picture, encode_jpeg
from pose.weights.registry import DETECTORS, POSE_MODELS, first_published

Step = Callable[[], object]


@dataclass(frozen=True)
class Rates:
    """How the stages are measured.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        threads: Of the process.
        runs: The figures are medians of so many runs.
        rgb_runs: The same for networks of pictures, which are slow.
    """

    device: str
    threads: int
    runs: int
    rgb_runs: int


def set_threads(threads: int) -> None:
    """Give the libraries so many threads. It must be done before a network is loaded."""
    torch.set_num_threads(threads)
    pose.threads.set_threads(threads)


def measure_original(files: Mapping[str, bytes], rates: Rates) -> list[Timing]:
    """Return the times of the original's method for a frame: detector, keypoints, the rest, their sum."""
    networks, frame = EagerNetworks(rates.device), pose.read_scan_files(files).frames[0]
    upright = np.ascontiguousarray(turn_picture(frame.rgb, 1))
    width, height = frame.picture_size
    keypoints = np.random.default_rng(0).uniform(0.3, 0.7, (17, 2)) * (width, height)
    found = [
        measure(f"original: {name}", step, threads=rates.threads, runs=rates.rgb_runs)
        for name, step in (
            ("Faster R-CNN, eager", partial(networks.detect, upright)),
            ("HRNet-w48 384x288, eager", partial(networks.keypoints, upright)),
            ("all but the networks", partial(rest_of_frame, frame.rgb, frame.depthmap, keypoints)),
        )
    ]
    return [*found, total("original: a frame", [(each, 1) for each in found])]


def measure_stages(
    files: Mapping[str, bytes], model: str, rates: Rates, original: list[Timing]
) -> list[Timing]:
    """Return the times of each stage for a frame, and of a scan from its files to its results.

    Args:
        files: A scan.
        model: The estimator.
        rates: See `Rates`.
        original: What `measure_original` returned.
    """
    networks = total("original: the networks", [(original[0], 1), (original[1], 1)])
    estimator, faces = pose.load_estimator(model, device=rates.device), pose.load_face_detector()
    scan = pose.read_scan_files(files)
    count = len(scan.frames)

    def time(name: str, step: Step, each: int = 1, against: Timing | None = None) -> Timing:
        return measure(name, step, threads=rates.threads, runs=rates.runs, count=each, against=against)

    def files_to_results() -> object:
        return pose.analyse_scan(pose.read_scan_files(files), estimator, face_detector=faces)

    return [
        *(time(name, step) for name, step in _steps_of_frame(files, scan, estimator, faces)),
        time("find people, one frame", lambda: estimator.detect(scan.frames[:1]), 1, networks),
        time(f"find people, {count} frames at once", lambda: estimator.detect(scan.frames), count, networks),
        time("a frame, from its files to its results", files_to_results, count, original[3]),
        time(
            f"a scan of {count} frames, from its files to its results",
            files_to_results,
            1,
            total(f"original: {count} frames", [(original[3], count)]),
        ),
    ]


def _steps_of_frame(
    files: Mapping[str, bytes], scan: pose.Scan, estimator: pose.Estimator, faces: pose.FaceDetector
) -> list[tuple[str, Step]]:
    """Return each stage but the network, for the first frame of a scan."""
    frame = scan.frames[0]
    (found,) = estimator.detect([frame])
    (person, *_), turns = found.people, turns_for_step(frame.step)
    picture = next(data for name, data in files.items() if name.startswith("rgb/"))
    depth = next(data for name, data in files.items() if name.startswith("depth/"))
    calibration = parse_calibration(next(data for data in files.values() if is_calibration(data)))
    hidden = pose.anonymise(frame.rgb, found.people, frame.depthmap, turns=turns, face_detector=faces)
    assert hidden.picture is not None and hidden.mask is not None
    mask, redacted = hidden.mask, hidden.picture
    drawn = depth_picture(frame.view, hidden.regions, turns or 0)
    return [
        ("decode a picture", lambda: decode_picture(picture)),
        ("read a depth file", lambda: pose.parse_depth(depth, calibration)),
        ("align picture and depth map", lambda: measure_alignment(frame.rgb, frame.view)),
        ("floor", lambda: floor_height(frame.depthmap)),
        ("lift to 3D", lambda: lift_in_view(frame.view, person.keypoints, person.scores, "inside", 0.0)),
        ("place heads", lambda: find_all_heads(found.people, found.low_confidence, frame.view)),
        (f"find faces ({faces.name})", lambda: faces.find(frame.rgb, turns, mask)),
        ("redact heads", lambda: redact(frame.rgb, mask)),
        ("encode a picture", lambda: encode_jpeg(redacted)),
        ("draw the overlay", lambda: overlay(redacted, found.people, turns or 0)),
        ("draw the depth map", lambda: depth_picture(frame.view, hidden.regions, turns or 0)),
        ("encode the depth map", lambda: encode_png(drawn)),
    ]


def measure_networks(picture: NDArray[np.uint8], rates: Rates) -> list[Timing]:
    """Return times of the detectors on a picture, and of each HRNet on one person, with random weights."""
    upright = np.ascontiguousarray(turn_picture(picture, 1))
    height, width = upright.shape[:2]
    box = np.array([[0.2 * width, 0.1 * height, 0.8 * width, 0.9 * height]])
    steps: list[tuple[str, Step]] = []
    for name in DETECTORS:
        detector = Detector(build_detector(name).state_dict(), name, rates.device)
        steps.append((f"{name}, a picture", partial(detector.detect, [upright])))
    for name in POSE_MODELS:
        published = first_published(name)
        assert published.width and published.input_size
        weights = build_hrnet(f"w{published.width}").state_dict()
        model = TopDown(weights, published.width, published.input_size, rates.device, False)
        steps.append((f"{name}, a person", partial(model.predict, [upright], [box])))
    return [measure(name, step, threads=rates.threads, runs=rates.rgb_runs) for name, step in steps]

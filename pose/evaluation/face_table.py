"""Measure several kinds of scans in parallel processes: the table of `make faces`.

Each process takes one number at a time and measures all rows with it: the scans of several rows are one
rendering, and both face detectors see the same people. So all rows have the same number of scans, whenever
the time is over.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import torch

import pose
from pose.estimators.cached import CachedEstimator
from pose.evaluation.face_tally import FIRST_SEED, Tally, sample_scan, tally_scan
from pose.evaluation.handling import parse_handling
from pose.evaluation.harness import load_depth_network
from pose.evaluation.variants import VARIANTS
from pose.privacy.face_detector import FaceDetector
from pose.privacy.loading import HAAR, load_face_detector
from pose.privacy.yunet import YuNet
from pose.weights.ingest import read_weights_file
from pose.weights.registry import FACE_DETECTOR

FRESH_SEED: Final = 900_000  # no threshold was chosen by these scans
BOTH: Final = (FACE_DETECTOR, HAAR)


@dataclass(frozen=True)
class Row:
    """A kind of scans.

    Attributes:
        handling: see `parse_handling`.
        first_seed: of the scans.
        careful: whether they follow the scanning guidelines.
    """

    handling: str = "plain"
    first_seed: int = FIRST_SEED
    careful: bool = True


# Rows of one rendering stand together.
ROWS: Final = {
    "plain": Row(),
    **{name: Row(name) for name in ("step:other", "step:999", *VARIANTS)},
    "upside": Row("upside"),
    "fresh seeds": Row(first_seed=FRESH_SEED),
    "careless": Row(careful=False),
}

Tallies = dict[tuple[str, str], Tally]  # of a row and a face detector


@dataclass(frozen=True)
class Plan:
    """What each process measures.

    Attributes:
        rows: names in `ROWS`.
        face_detectors: names, see `load_face_detector`.
        weights: of the depth network; None: the package's own.
        yunet: the file of YuNet; None: the stored one.
        device: where the depth network runs.
    """

    rows: tuple[str, ...] = tuple(ROWS)
    face_detectors: tuple[str, ...] = BOTH
    weights: Path | None = None
    yunet: Path | None = None
    device: str = "cpu"

    def load(self) -> tuple[pose.Estimator, dict[str, FaceDetector]]:
        """Load the networks. Raises as `load_depth_network`, `read_weights_file` and `load_face_detector`."""
        detectors = {name: open_face_detector(name, self.yunet) for name in self.face_detectors}
        return load_depth_network(self.weights, self.device), detectors


def open_face_detector(name: str, yunet: Path | None) -> FaceDetector:
    """Load a face detector, YuNet from its file if one is given.

    Raises:
        InvalidWeights, FaceDetectorMissing, ValueError: see `read_weights_file` and `load_face_detector`.
    """
    if yunet is None or name == HAAR:
        return load_face_detector(name)
    return YuNet(read_weights_file(yunet, FACE_DETECTOR, own=False))


def measure_rows(
    plan: Plan, estimator: pose.Estimator, detectors: dict[str, FaceDetector], number: int
) -> Tallies:
    """Measure scan `number` of each row with each face detector."""
    found = {}
    for name in plan.rows:
        row = ROWS[name]
        sample = sample_scan(
            number,
            careful=row.careful,
            first_seed=row.first_seed,
            handling=parse_handling(row.handling),
        )
        once = CachedEstimator(estimator)
        for detector in detectors:
            found[name, detector] = tally_scan(once, detectors[detector], sample)
    return found


class _Process:
    """What a process keeps from one scan to the next."""

    plan: Plan
    estimator: pose.Estimator
    detectors: dict[str, FaceDetector]

    @classmethod
    def prepare(cls, plan: Plan) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        cls.plan = plan
        cls.estimator, cls.detectors = plan.load()

    @classmethod
    def measure(cls, number: int, end: float) -> Tallies:
        """Measure scan `number` of each row, or nothing if it is later than `end`."""
        if time.time() > end:
            return {}
        return measure_rows(cls.plan, cls.estimator, cls.detectors, number)


def measure_parallel(plan: Plan, scans: int, jobs: int, minutes: float | None = None) -> Iterator[Tallies]:
    """Measure scans 0 to `scans` - 1 of all rows; yield what was found so far after each of them.

    Args:
        plan: what is measured.
        scans: of each row.
        jobs: processes, of one thread each.
        minutes: no scan is begun later than this. Scans that were begun are finished.
    """
    end = math.inf if minutes is None else time.time() + 60 * minutes
    total: Tallies = {(row, name): Tally() for row in plan.rows for name in plan.face_detectors}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _Process.prepare, (plan,)) as pool:
        waiting = [pool.submit(_Process.measure, number, end) for number in range(scans)]
        for done in as_completed(waiting):
            for key, tally in done.result().items():
                total[key].add(tally)
            yield total


def markdown(tallies: Tallies) -> str:
    """Return a table in Markdown."""
    heads = (
        "scans",
        "face detector",
        "number",
        "pictures",
        "withheld",
        "> 2 % of a face open",
        "face pixels redacted",
        "area / heads",
    )
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for (row, detector), tally in tallies.items():
        found = tally.report()
        cells: Sequence[Any] = (
            row,
            detector,
            tally.scans,
            tally.frames,
            f"{found['withheld']:.1%}",
            tally.open_faces,
            f"{found['face_pixels_covered']:.3%}" if tally.faces else "",
            found["covered_area_over_heads"] if tally.heads else "",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def write_report(path: Path, about: dict[str, Any], tallies: Tallies) -> None:
    """Write all that was found as JSON. The old file is there until the new one is complete."""
    rows = [
        {"row": row, "face_detector": detector, **tally.report()}
        for (row, detector), tally in tallies.items()
    ]
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(about | {"rows": rows}, indent=1) + "\n")
    part.replace(path)

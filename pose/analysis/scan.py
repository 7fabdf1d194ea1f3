"""The chain for a scan: its frames one by one, and the figures that they give together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from pose.analysis.aggregate import Measured, aggregate_frames
from pose.analysis.drift import LIMIT, Drift, compare
from pose.analysis.frame import Measures, Options, broken_frame, finish_frame, measure_frame
from pose.analysis.stopwatch import Stopwatch
from pose.errors import InvalidScan
from pose.estimators.base import Estimator, Person
from pose.privacy.face_detector import load_cascades
from pose.privacy.temporal import propagate_heads
from pose.results import SCAN_ID, SCHEMA, DriftResult, ModelInfo, ScanResult
from pose.scan.frame import Frame, Scan

# Raised whenever equal input may give other output, so that scans are not taken as done already.
ANALYSIS_VERSION: Final = 4
BATCH: Final = 16  # frames that an estimator is given at once

_SCAN_ID: Final = TypeAdapter(Annotated[str, Field(pattern=SCAN_ID)])

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Analysis:
    """A scan's result, and all artefacts as bytes by name. Store the result last: with it, all is there."""

    result: ScanResult
    artefacts: dict[str, bytes]


def analyse_scan(
    scan: Scan,
    estimator: Estimator,
    *,
    compare_with: Estimator | None = None,
    progress: Progress | None = None,
    scan_id: str | None = None,
    fingerprint: str | None = None,
    options: Options | None = None,
) -> Analysis:
    """Analyse all frames of a scan.

    The scan's figures are medians over the frames with exactly one person that keep the quality limits.
    If there are none, `frames_used` is 0, the body's length null, and the posture what the other frames
    with one person say, with half the confidence (`unknown` if there are none of those either).

    Args:
        scan: with at least one frame.
        estimator: finds the people.
        compare_with: another one; nothing but `drift` tells of what it finds.
        progress: called with the number of frames done and of all frames, first with 0.
        scan_id: [A-Za-z0-9_-]{1,128}; stands in the result and in the pictures' keys. Without one, the
            beginning of the scan's digest.
        fingerprint: of everything that decides the result; made by `fingerprint_of` if not given.
        options: what can be chosen.

    Raises:
        pydantic.ValidationError: the scan id is none.
        FaceDetectorMissing: this OpenCV has no cascades.
        PoseError: what the estimators raise.
    """
    if scan_id is not None:
        _SCAN_ID.validate_python(scan_id)
    load_cascades()  # said before a long analysis rather than after it
    options = options or Options()
    watch = Stopwatch()
    scan_id = scan.digest[:32] if scan_id is None else scan_id
    if fingerprint is None:
        fingerprint = fingerprint_of(scan, estimator, options, compare_with=compare_with)
    limited = Options(options.lifting, options.cover, options.limits.of(estimator))

    total = len(scan.frames) + len(scan.broken)
    analyses = [broken_frame(frame) for frame in scan.broken]
    measured: list[Measures] = []
    others: list[list[Person]] = []
    if progress is not None:
        progress(0, total)
    for first in range(0, len(scan.frames), BATCH):
        batch = scan.frames[first : first + BATCH]
        with watch("estimate") as estimating:
            detections = estimator.detect(batch)
        if compare_with is not None:
            with watch("compare"):
                others += _found_by(compare_with, batch)
        share = estimating.milliseconds / len(batch)
        with watch("frames"):
            measured += [
                measure_frame(frame, found.people, found.low_confidence, options=limited, estimate_ms=share)
                for frame, found in zip(batch, detections, strict=True)
            ]
    with watch("frames"):
        heads = propagate_heads([one.placed for one in measured])
    for measures, covered in zip(measured, heads, strict=True):
        with watch("frames"):
            analyses.append(finish_frame(measures, covered, scan_id=scan_id, options=limited))
        if progress is not None:
            progress(len(analyses), total)
    analyses.sort(key=lambda analysis: analysis.result.order)

    posture, length, used = aggregate_frames(
        [
            Measured(one.posture, one.skeleton, counts=not one.result.quality)
            for one in analyses
            if one.posture is not None and one.skeleton is not None
        ]
    )
    artefacts = {name: data for one in analyses for name, data in one.artefacts.items()}
    result = ScanResult(
        scan_id=scan_id,
        fingerprint=fingerprint,
        model=ModelInfo(name=estimator.name, version=estimator.version),
        posture=posture.posture,
        posture_confidence=round(posture.confidence, 4),
        body_length_m=None if length is None else round(length, 5),
        frames_used=used,
        frames=tuple(analysis.result for analysis in analyses),
        artefacts={name: hashlib.sha256(data).hexdigest() for name, data in artefacts.items()},
        drift=None
        if compare_with is None
        else _drift(compare_with, compare([list(one.people) for one in measured], others)),
        timings_ms=watch.timings(),
    )
    return Analysis(result, artefacts)


def fingerprint_of(
    scan: Scan, estimator: Estimator, options: Options | None = None, *, compare_with: Estimator | None = None
) -> str:
    """SHA-256 (hex) over all that decides a result: the scan's bytes, the models, the options, this code."""
    facts = {
        "analysis": ANALYSIS_VERSION,
        "schema": SCHEMA,
        "scan": scan.digest,
        "model": [estimator.name, estimator.version],
        "options": asdict(options or Options()),
    }
    if compare_with is not None:
        facts["compared"] = [compare_with.name, compare_with.version, LIMIT]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _found_by(other: Estimator, frames: Sequence[Frame]) -> list[list[Person]]:
    """People of each frame. Nobody where it cannot use such a scan: that costs no result, which is ours."""
    try:
        return other.estimate(frames)
    except InvalidScan:
        return [[] for _ in frames]


def _drift(other: Estimator, drift: Drift) -> DriftResult:
    return DriftResult(model=ModelInfo(name=other.name, version=other.version), **asdict(drift))

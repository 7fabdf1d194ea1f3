"""The analysis of a scan: its frames one by one, and their aggregate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Final

from pydantic import Field, TypeAdapter

from pose.analysis.aggregate import FrameFigures, aggregate_frames
from pose.analysis.drift import LIMIT, compare
from pose.analysis.frame import FrameAnalysis, LocatedFrame, Options, broken_frame, finish_frame, locate_heads
from pose.analysis.length_error import error_model
from pose.analysis.stature import stature_estimate
from pose.analysis.stopwatch import Stopwatch
from pose.analysis.verdict import JudgedFrame, judge
from pose.checks import check_each, check_type
from pose.estimators.base import Detections, Estimator, Person
from pose.privacy.face_detector import FaceDetector
from pose.privacy.loading import load_face_detector
from pose.privacy.region import Heads
from pose.privacy.temporal import propagate_heads
from pose.results import SCAN_ID, SCHEMA, DriftResult, ModelInfo, ScanResult
from pose.scan.frame import Frame, Scan
from pose.stature.estimate import load_stature_model
from pose.threads import in_threads

# Raise this whenever equal input may give other output: finished scans are then analysed again.
ANALYSIS_VERSION: Final = 10
BATCH: Final = 16  # frames that an estimator gets at once

_SCAN_ID: Final = TypeAdapter(Annotated[str, Field(pattern=SCAN_ID)])

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Analysis:
    """The result of a scan, and all artefacts as bytes by name.

    Store the result last: where it exists, all artefacts exist.
    """

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
    face_detector: FaceDetector | None = None,
) -> Analysis:
    """Analyse all frames of a scan.

    The scan's figures are medians over the frames with exactly one person, weighted by how certain each of
    them is. If there are none, `frames_used` is 0, the body's length null and the posture `unknown`. With
    strict limits (`LIMITS["production"]`) only frames that keep all of them count, see `aggregate_frames`.

    Args:
        scan: with at least one frame.
        estimator: finds the people.
        compare_with: another estimator; what it finds decides nothing but `drift`.
        progress: called with the number of frames done and of all frames, first with 0.
        scan_id: [A-Za-z0-9_-]{1,128}; part of the result and of the pictures' keys. The default is the
            beginning of the scan's digest.
        fingerprint: of everything that decides the result; by default that of `fingerprint_of`.
        options: default ones if not given.
        face_detector: finds the faces of people whom the estimator does not find; None loads the one that
            `load_face_detector` takes by default. Load it yourself for many scans.

    Raises:
        ValueError: the scan id is invalid (a `pydantic.ValidationError`), or an argument is of another type.
        FaceDetectorMissing, InvalidWeights: see `load_face_detector`.
        PoseError: raised by the estimators.
    """
    # Fail before a long analysis, not after it.
    if scan_id is not None:
        _SCAN_ID.validate_python(scan_id)
    check_type(scan, Scan, "scan", "read_scan returns one")
    check_type(estimator, Estimator, "estimator", "load_estimator returns one")
    check_type(compare_with or estimator, Estimator, "compare_with", "load_estimator returns one")
    detector = load_face_detector() if face_detector is None else face_detector
    check_type(detector, FaceDetector, "face_detector", "load_face_detector returns one")
    options = check_type(options or Options(), Options, "options")
    watch = Stopwatch()
    scan_id = scan.digest[:32] if scan_id is None else scan_id
    if fingerprint is None:
        fingerprint = fingerprint_of(
            scan, estimator, options, compare_with=compare_with, face_detector=detector
        )
    options = replace(options, limits=options.limits.of(estimator))
    total = len(scan.frames) + len(scan.broken)
    if progress is not None:
        progress(0, total)
    located: list[LocatedFrame] = []
    others: list[list[Person]] = []
    for first in range(0, len(scan.frames), BATCH):
        batch = scan.frames[first : first + BATCH]
        with watch("estimate") as estimating:
            detections = _detect(estimator, batch)
        if compare_with is not None:
            with watch("compare"):
                others += compare_with.estimate(batch)
        estimate_ms = estimating.milliseconds / len(batch)
        with watch("frames"):
            located += in_threads(
                lambda each: locate_heads(*each, from_depth=estimator.uses_depth),
                [(frame, found, estimate_ms) for frame, found in zip(batch, detections, strict=True)],
            )

    with watch("frames"):
        heads = propagate_heads([each.placed for each in located])
    analyses = [broken_frame(frame) for frame in scan.broken]

    def finish(found: tuple[LocatedFrame, Heads]) -> FrameAnalysis:
        return finish_frame(*found, detector, options, scan_id)

    together = list(zip(located, heads, strict=True))
    finished = in_threads(finish, together) if detector.thread_safe else map(finish, together)
    for _ in together:
        with watch("frames"):
            analyses.append(next(finished))
        if progress is not None:
            progress(len(analyses), total)
    analyses.sort(key=lambda analysis: analysis.result.order)

    figures = aggregate_frames(
        [FrameFigures(each.body, each.result.weight) for each in analyses if each.body is not None],
        strict=options.limits.strict,
    )
    verdict, reasons = judge(
        figures, [JudgedFrame(each.result, each.body) for each in analyses], options.limits
    )
    stature = stature_estimate(
        [each.body.stature for each in analyses if each.body is not None and each.result.weight > 0],
        figures.posture.posture,
    )
    drift = None
    if compare_with is not None:
        found = compare([each.placed.people for each in located], others)
        drift = DriftResult(model=_model_info(compare_with), **asdict(found))
    artefacts = {name: data for each in analyses for name, data in each.artefacts.items()}
    length = figures.body_length
    result = ScanResult(
        scan_id=scan_id,
        fingerprint=fingerprint,
        model=_model_info(estimator),
        face_detector=_model_info(detector),
        posture=figures.posture.posture,
        posture_confidence=round(figures.posture.confidence, 4),
        body_length_m=None if length is None else length.value,
        body_length_estimate_m=length,
        stature_m=None if stature is None else stature.value,
        stature_estimate_m=stature,
        frames_used=figures.frames_used,
        verdict=verdict,
        verdict_reasons=reasons,
        frames=tuple(each.result for each in analyses),
        artefacts={name: hashlib.sha256(data).hexdigest() for name, data in artefacts.items()},
        drift=drift,
        timings_ms=watch.timings(),
        ignored=scan.ignored,
    )
    return Analysis(result, artefacts)


def fingerprint_of(
    scan: Scan,
    estimator: Estimator,
    options: Options | None = None,
    *,
    compare_with: Estimator | None = None,
    face_detector: FaceDetector | None = None,
) -> str:
    """Return the SHA-256 (hex) of all that decides a result: scan, models, options, version of this code.

    Args:
        scan, estimator, options, compare_with, face_detector: as for `analyse_scan`.

    Raises:
        FaceDetectorMissing, InvalidWeights: see `load_face_detector`.
    """
    detector = load_face_detector() if face_detector is None else face_detector
    facts = {
        "analysis": ANALYSIS_VERSION,
        "schema": SCHEMA,
        "scan": scan.digest,
        "model": [estimator.name, estimator.version],
        "face_detector": [detector.name, detector.version],
        "options": asdict(options or Options()),
        "length_error": asdict(error_model()),
        "stature": load_stature_model().version,
    }
    if compare_with is not None:
        facts["compared"] = [compare_with.name, compare_with.version, LIMIT]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _detect(estimator: Estimator, frames: Sequence[Frame]) -> Sequence[Detections]:
    """Return what an estimator finds, if it says something of each frame."""
    found = check_each(estimator.detect(frames), Detections, "what the estimator detects")
    if len(found) != len(frames):
        problem = f"the estimator returned {len(found)} Detections for {len(frames)} frames"
        raise ValueError(f"{problem}, expected one for each")
    return found


def _model_info(model: Estimator | FaceDetector) -> ModelInfo:
    return ModelInfo(name=model.name, version=model.version, runtime=model.runtime)

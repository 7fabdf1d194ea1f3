"""A frame's chain: people → skeleton → posture → a picture without faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pose import keypoints as kp
from pose import results
from pose.analysis import quality
from pose.analysis.export import BLURRED, OVERLAY, POSE, SKELETON, artefact_name, skeleton_obj
from pose.analysis.overlay import overlay
from pose.analysis.quality import QualityLimits
from pose.analysis.stopwatch import Stopwatch
from pose.estimators.base import Person
from pose.geometry.orientation import is_known_step, turns_for_step, turns_of_person
from pose.lifting.lift import Method as LiftMethod
from pose.lifting.lift import lift_in_view
from pose.lifting.posture import Posture, PostureEstimate, classify_posture
from pose.lifting.skeleton import Skeleton
from pose.privacy.anonymise import Anonymised, redact_heads
from pose.privacy.find_heads import find_all_heads
from pose.privacy.redact import Method as RedactionMethod
from pose.privacy.redact import redaction_parameters
from pose.privacy.region import Heads
from pose.privacy.temporal import FrameHeads
from pose.results import FrameResult, FrameStatus, PersonResult, RedactionResult
from pose.scan.frame import BrokenFrame, Frame
from pose.scan.pictures import encode_jpeg


@dataclass(frozen=True)
class Options:
    """What can be chosen about an analysis.

    Attributes:
        lifting: see `lift`.
        cover: how heads are covered, see `anonymise`.
        limits: which frames count for the scan's figures.
    """

    lifting: LiftMethod = "inside"
    cover: RedactionMethod = "blur"
    limits: QualityLimits = field(default_factory=QualityLimits)


@dataclass(frozen=True, eq=False)
class Measures:
    """What a frame's depth map tells, before its picture is looked at; the other frames may add heads to it.

    Attributes:
        people: all that count.
        placed: their heads, and those of bystanders.
        timings_ms: of each stage so far.
    """

    frame: Frame
    people: Sequence[Person]
    placed: FrameHeads
    floor: float | None
    skeleton: Skeleton | None
    posture: PostureEstimate | None
    distance: float | None
    reasons: tuple[str, ...]
    timings_ms: dict[str, float]


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """A frame's result, its artefacts as bytes by name ("frames/0/blurred.jpg"), and what they come from."""

    result: FrameResult
    artefacts: dict[str, bytes]
    skeleton: Skeleton | None = None
    posture: PostureEstimate | None = None


def analyse_frame(
    frame: Frame,
    people: Sequence[Person],
    *,
    bystanders: Sequence[Person] = (),
    scan_id: str | None = None,
    options: Options | None = None,
    estimate_ms: float = 0.0,
) -> FrameAnalysis:
    """Analyse one frame by itself, given the people in it.

    Args:
        frame: a frame of a scan.
        people: all that an estimator found in it.
        bystanders: those who may be somebody; they are covered, and count for nothing else.
        scan_id: stands before the picture's key; without one the key is relative to the scan's results.
        options: what can be chosen; their `min_score` should be set for the estimator.
        estimate_ms: how long finding the people took, for the timings.
    """
    measures = measure_frame(frame, people, bystanders, options=options, estimate_ms=estimate_ms)
    return finish_frame(measures, measures.placed.heads, scan_id=scan_id, options=options)


def measure_frame(
    frame: Frame,
    people: Sequence[Person],
    bystanders: Sequence[Person] = (),
    *,
    options: Options | None = None,
    estimate_ms: float = 0.0,
) -> Measures:
    """The first half of `analyse_frame`: all that is not the picture."""
    options = options or Options()
    watch = Stopwatch({"estimate": estimate_ms})
    reasons: list[str] = []
    with watch("floor"):
        floor = frame.floor
    skeleton, posture, distance = None, None, None
    if len(people) == 1:
        with watch("lift"):
            person = people[0]
            skeleton = lift_in_view(frame.view, person.keypoints, person.scores, options.lifting, floor)
            if skeleton.measured:
                posture = classify_posture(skeleton)
                distance = _distance(frame, skeleton)
        reasons += _missing_3d(skeleton)
    elif people:
        reasons.append("several persons: no 3D")
    else:
        reasons.append("no person was found")

    with watch("heads"):
        heads = FrameHeads(people, find_all_heads(people, bystanders, frame.view), frame.view)
    timings = {stage: spent for stage, spent in watch.timings().items() if stage != "total"}
    return Measures(frame, people, heads, floor, skeleton, posture, distance, tuple(reasons), timings)


def finish_frame(
    measures: Measures, heads: Heads, *, scan_id: str | None = None, options: Options | None = None
) -> FrameAnalysis:
    """The second half of `analyse_frame`: the picture, and what is told of the frame.

    Args:
        measures: of the frame.
        heads: all that must be covered, those that other frames told of too.
        scan_id, options: as of `analyse_frame`.
    """
    options = options or Options()
    frame, people, watch = measures.frame, measures.people, Stopwatch(measures.timings_ms)
    skeleton, posture, reasons = measures.skeleton, measures.posture, list(measures.reasons)
    with watch("cover"):
        turns = turns_for_step(frame.step) if is_known_step(frame.step) else None
        covered = redact_heads(frame.rgb, heads, frame.view, options.cover, turns)
    if covered.reason is not None:
        reasons.append(f"picture withheld: {covered.reason}")
    with watch("draw"):
        artefacts = _pictures(frame, people, covered)
    if skeleton is not None and _complete(skeleton):
        artefacts[artefact_name(frame.order, SKELETON)] = skeleton_obj(skeleton).encode()

    picture = artefact_name(frame.order, BLURRED)
    angle = frame.depthmap.camera_angle_deg
    result = FrameResult(
        order=frame.order,
        status=(FrameStatus.NO_PERSON, FrameStatus.OK, FrameStatus.SEVERAL_PERSONS)[min(len(people), 2)],
        reason="; ".join(reasons) or None,
        people=tuple(_person(person, skeleton, posture) for person in people),
        floor_height_m=_rounded(measures.floor),
        camera_angle_deg=None if angle is None else round(angle, 3),
        missing_depth=round(frame.depthmap.missing, 5),
        child_distance_m=_rounded(measures.distance),
        quality=quality.check(options.limits, frame, [person.score for person in people], measures.distance),
        picture=(f"{scan_id}/{picture}" if scan_id else picture) if picture in artefacts else None,
        covering=_covering(covered, options.cover),
        timings_ms=watch.timings(),
    )
    artefacts[artefact_name(frame.order, POSE)] = _pose_json(result)
    return FrameAnalysis(result, artefacts, skeleton, posture)


def broken_frame(frame: BrokenFrame) -> FrameAnalysis:
    """What is told of a frame whose files cannot be used."""
    result = FrameResult(
        order=frame.order,
        status=FrameStatus.INVALID,
        reason=frame.reason,
        people=(),
        floor_height_m=None,
        camera_angle_deg=None,
        missing_depth=None,
        child_distance_m=None,
        quality=(),
        picture=None,
        timings_ms={},
    )
    return FrameAnalysis(result, {artefact_name(frame.order, POSE): _pose_json(result)})


def _pose_json(result: FrameResult) -> bytes:
    return (result.model_dump_json(indent=2, exclude={"timings_ms"}) + "\n").encode()


def _complete(skeleton: Skeleton) -> bool:
    """Whether it can be given out: y is the height above the floor in every skeleton that is."""
    return skeleton.measured and skeleton.floor is not None


def _missing_3d(skeleton: Skeleton) -> list[str]:
    if not skeleton.measured:
        return ["no depth at the person: no 3D"]
    if not skeleton.gravity_known:
        return ["the camera's pose is unknown: no skeleton"]
    return ["no floor is seen: no skeleton"] if skeleton.floor is None else []


def _distance(frame: Frame, skeleton: Skeleton) -> float:
    """Metres from the camera to the middle of the joints that were observed."""
    points = skeleton.joints[skeleton.observed] + (0.0, skeleton.floor or 0.0, 0.0)
    return float(np.median(np.linalg.norm(points - frame.depthmap.translation, axis=1)))


def _pictures(frame: Frame, people: Sequence[Person], covered: Anonymised) -> dict[str, bytes]:
    if covered.picture is None or covered.file is None:
        return {}
    upright = overlay(covered.picture, people, _turns(frame.step, people))
    return {
        artefact_name(frame.order, BLURRED): covered.file,
        artefact_name(frame.order, OVERLAY): encode_jpeg(upright),
    }


def _covering(covered: Anonymised, method: RedactionMethod) -> RedactionResult | None:
    if covered.picture is None:
        return None
    left = redaction_parameters(method)
    return RedactionResult(
        method=method,
        grid=left.grid,
        levels=left.levels,
        noise=left.noise,
        regions=tuple(
            tuple((int(u), int(v)) for u, v in region.outline)
            for region in covered.regions
            if len(region.outline)
        ),
        second_look=covered.second_look,
    )


def _turns(step: int, people: Sequence[Person]) -> int:
    """Quarter turns that bring a picture upright: by the step, or else by the surest person, head up."""
    if is_known_step(step):
        return turns_for_step(step)
    return turns_of_person(people[0].keypoints, people[0].scores) if people else 0


def _person(person: Person, skeleton: Skeleton | None, posture: PostureEstimate | None) -> PersonResult:
    scores = np.clip(person.scores, 0, 1).round(5).tolist()
    joints, length = None, None
    if skeleton is not None and skeleton.measured:
        length = skeleton.reliable_length
        if _complete(skeleton):
            joints = tuple(
                results.JointResult(name=name, x=x, y=y, z=z, score=score, distance_px=away, observed=seen)
                for name, (x, y, z), score, away, seen in zip(
                    kp.NAMES,
                    skeleton.joints.round(5).tolist(),
                    scores,
                    skeleton.distance_px.round(3).tolist(),
                    skeleton.observed.tolist(),
                    strict=True,
                )
            )
    x0, y0, x1, y1 = (round(float(edge), 2) for edge in person.box)
    return PersonResult(
        box=(x0, y0, x1, y1),
        box_score=round(float(np.clip(person.box_score, 0, 1)), 5),
        score=round(float(np.clip(person.score, 0, 1)), 5),
        keypoints=tuple(
            results.KeypointResult(name=name, u=u, v=v, score=score)
            for name, (u, v), score in zip(kp.NAMES, person.keypoints.round(3).tolist(), scores, strict=True)
        ),
        skeleton=joints,
        body_length_m=_rounded(length),
        posture=Posture.UNKNOWN if posture is None else posture.posture,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)

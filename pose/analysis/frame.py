"""The analysis of one frame: people → skeleton → posture → a picture without faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pose.analysis import quality
from pose.analysis.agreement import is_misaligned
from pose.analysis.body import Body, measure_body
from pose.analysis.depth_picture import Marks, depth_picture, encode_png, floor_below
from pose.analysis.export import BLURRED, DEPTH, OVERLAY, POSE, SKELETON, artefact_name, skeleton_obj
from pose.analysis.frame_result import (
    alignment_result,
    is_complete,
    person_result,
    redaction_result,
    rounded,
)
from pose.analysis.length_error import error_model
from pose.analysis.overlay import overlay
from pose.analysis.quality import QualityLimits
from pose.analysis.stopwatch import Stopwatch
from pose.checks import check_choice, check_each, check_type
from pose.estimators.base import Detections, Person
from pose.geometry.orientation import turns_of_person
from pose.lifting.head_height import head_height, object_height
from pose.lifting.lift import METHODS as LIFT_METHODS
from pose.lifting.lift import Method as LiftMethod
from pose.lifting.lift import lift_in_view
from pose.lifting.posture import Posture, PostureEstimate
from pose.lifting.skeleton import Skeleton
from pose.privacy.anonymise import MISALIGNED, Anonymised, redact_heads
from pose.privacy.face_detector import FaceDetector
from pose.privacy.find_heads import find_all_heads
from pose.privacy.loading import load_face_detector
from pose.privacy.redact import METHODS as REDACTION_METHODS
from pose.privacy.redact import Method as RedactionMethod
from pose.privacy.region import Heads
from pose.privacy.temporal import FrameHeads
from pose.results import (
    FrameResult,
    FrameStatus,
)
from pose.scan.frame import BrokenFrame, Frame
from pose.scan.pictures import encode_jpeg


@dataclass(frozen=True)
class Options:
    """The options of an analysis.

    Attributes:
        lifting: the method of lifting, see `lift`.
        cover: the method of redaction, see `redact`.
        limits: what is said of frames, and whether those that break one count for the scan's figures.

    Raises:
        ValueError: there is no such method.
    """

    lifting: LiftMethod = "inside"
    cover: RedactionMethod = "blur"
    limits: QualityLimits = field(default_factory=QualityLimits)

    def __post_init__(self) -> None:
        check_choice(self.lifting, LIFT_METHODS, "lifting")
        check_choice(self.cover, REDACTION_METHODS, "cover")
        check_type(self.limits, QualityLimits, "limits")


@dataclass(frozen=True, eq=False)
class LocatedFrame:
    """A frame, the people in it and their heads, before heads are propagated between frames.

    Attributes:
        frame: as it was read.
        found: what the estimator found in it.
        placed: its people and heads.
        timings_ms: of each stage so far.
        misaligned: whether picture and depth map show different views.
        lifts: whether the depth map tells where the people's keypoints are in 3D.
    """

    frame: Frame
    found: Detections
    placed: FrameHeads
    timings_ms: dict[str, float]
    misaligned: bool
    lifts: bool


@dataclass(frozen=True, eq=False)
class FrameAnalysis:
    """The analysis of a frame.

    Attributes:
        result: all figures.
        artefacts: files as bytes by name ("frames/0/blurred.jpg").
        skeleton: of the only person; None if there is not exactly one.
        posture: of the skeleton; None if there is none, or if no joint of it was observed.
        body: what the frame says about the only person's body; None as the posture.
    """

    result: FrameResult
    artefacts: dict[str, bytes]
    skeleton: Skeleton | None = None
    posture: PostureEstimate | None = None
    body: Body | None = None


def analyse_frame(
    frame: Frame,
    people: Sequence[Person],
    *,
    bystanders: Sequence[Person] = (),
    turns: int | None = None,
    turns_uncertain: bool = False,
    scan_id: str | None = None,
    options: Options | None = None,
    estimate_ms: float = 0.0,
    from_depth: bool = False,
    face_detector: FaceDetector | None = None,
) -> FrameAnalysis:
    """Analyse one frame by itself, given the people in it.

    Args:
        frame: a frame of a scan.
        people: everybody whom an estimator found in it.
        bystanders: low-confidence detections. Their heads are redacted; they have no other effect.
        turns: quarter turns clockwise that bring the picture upright (`pose.Detections.turns`). If None, the
            face detector tries all four, which takes four times as long.
        turns_uncertain: as `pose.Detections.turns_uncertain`: the picture is then withheld.
        scan_id: prefix of the picture's key; without one the key is relative to the scan's results.
        options: default ones if not given; set their `min_score` to that of the estimator.
        estimate_ms: how long the estimator took, for the timings.
        from_depth: the estimator's `uses_depth`: whether the people's keypoints are from the depth map.
        face_detector: finds the faces of people who are not among these; None loads the default one.

    Raises:
        FaceDetectorMissing, InvalidWeights: see `load_face_detector`.
        ValueError: an argument is of another type.
    """
    check_type(frame, Frame, "frame")
    check_each(people, Person, "people")
    check_each(bystanders, Person, "bystanders")
    options = check_type(options or Options(), Options, "options")
    detector = load_face_detector() if face_detector is None else face_detector
    found = Detections(list(people), list(bystanders), turns, turns_uncertain)
    located = locate_heads(frame, found, estimate_ms, from_depth=from_depth)
    return finish_frame(located, located.placed.heads, detector, options, scan_id)


def locate_heads(
    frame: Frame, found: Detections, estimate_ms: float, *, from_depth: bool = False
) -> LocatedFrame:
    """Place the heads of a frame: the first half of `analyse_frame`."""
    watch = Stopwatch()
    with watch("alignment") as aligning:
        misaligned = is_misaligned(frame, found)
    lifts = from_depth or not misaligned
    with watch("heads") as placing:
        # The depth at other keypoints is not that of the head: it has no place in 3D for other frames to use.
        heads = (
            find_all_heads(found.people, found.low_confidence, frame.view) if lifts else Heads((), MISALIGNED)
        )
        if found.turns_uncertain:
            heads = replace(heads, reason=heads.reason or "it is not certain which way is up")
    timings = {"estimate": estimate_ms, "alignment": aligning.milliseconds, "heads": placing.milliseconds}
    return LocatedFrame(frame, found, FrameHeads(found.people, heads, frame.view), timings, misaligned, lifts)


def finish_frame(
    located: LocatedFrame,
    heads: Heads,
    face_detector: FaceDetector,
    options: Options,
    scan_id: str | None,
) -> FrameAnalysis:
    """Lift, classify, redact and draw: the second half of `analyse_frame`.

    Args:
        located: the frame and its people.
        heads: all heads to redact, with those that other frames added.
        face_detector, options, scan_id: see `analyse_frame`.
    """
    frame, found, watch = located.frame, located.found, Stopwatch(located.timings_ms)
    people = found.people
    with watch("floor"):
        floor = frame.floor
    skeleton, body = None, None
    if len(people) == 1 and located.lifts:
        with watch("lift"):
            (person,) = people
            skeleton = lift_in_view(frame.view, person.keypoints, person.scores, options.lifting, floor)
            body = measure_body(frame, person, skeleton, options.limits, options.lifting)
    posture = None if body is None else body.posture
    distance = None if body is None else body.distance
    with watch("cover"):
        if located.misaligned:
            redacted = Anonymised(None, MISALIGNED)
        else:
            redacted = redact_heads(frame.rgb, heads, frame.view, face_detector, options.cover, found.turns)
    with watch("draw"):
        artefacts = _pictures(frame, found, redacted, body)
    if skeleton is not None and is_complete(skeleton):
        artefacts[artefact_name(frame.order, SKELETON)] = skeleton_obj(skeleton).encode()

    reasons = [_why_no_3d(people, skeleton), redacted.reason and f"picture withheld: {redacted.reason}"]
    codes = quality.check(options.limits, frame, found, distance, posture)
    angle = frame.depthmap.camera_angle_deg
    result = FrameResult(
        order=frame.order,
        status=(FrameStatus.NO_PERSON, FrameStatus.OK, FrameStatus.SEVERAL_PERSONS)[min(len(people), 2)],
        reason="; ".join(filter(None, reasons)) or None,
        people=tuple(person_result(person, skeleton, body) for person in people),
        floor_height_m=rounded(floor),
        camera_angle_deg=rounded(angle, 3),
        missing_depth=round(frame.depthmap.missing, 5),
        child_distance_m=rounded(distance),
        head_height_m=rounded(_head_height(frame, people, skeleton, posture)),
        exif_orientation=frame.exif_orientation,
        alignment=alignment_result(frame, found),
        quality=codes,
        weight=_weight(body, codes, options.limits),
        picture=_key(artefact_name(frame.order, BLURRED), artefacts, scan_id),
        depth_picture=_key(artefact_name(frame.order, DEPTH), artefacts, scan_id),
        covering=redaction_result(redacted, options.cover),
        timings_ms=watch.timings(),
    )
    artefacts[artefact_name(frame.order, POSE)] = _pose_json(result)
    return FrameAnalysis(result, artefacts, skeleton, posture, body)


def broken_frame(frame: BrokenFrame) -> FrameAnalysis:
    """Return the analysis of a frame whose files cannot be read: the reason, and no figures."""
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
    )
    return FrameAnalysis(result, {artefact_name(frame.order, POSE): _pose_json(result)})


def _weight(body: Body | None, codes: tuple[str, ...], limits: QualityLimits) -> float:
    """Return the weight of a frame, 0 if it does not count."""
    if body is None or not quality.counts(codes, strict=limits.strict):
        return 0.0
    return 1.0 if limits.strict else round(error_model().weight(body.evidence), 4)


def _key(name: str, artefacts: Mapping[str, bytes], scan_id: str | None) -> str | None:
    """Return the key of an artefact, or its name if the scan has no id; None if there is no such file."""
    if name not in artefacts:
        return None
    return f"{scan_id}/{name}" if scan_id else name


def _head_height(
    frame: Frame, people: Sequence[Person], skeleton: Skeleton | None, posture: PostureEstimate | None
) -> float | None:
    if not people and frame.floor is not None:
        return object_height(frame.depthmap, frame.floor)
    if skeleton is None or posture is None or posture.posture is not Posture.STANDING:
        return None
    return head_height(frame.depthmap, skeleton)


def _pose_json(result: FrameResult) -> bytes:
    return (result.model_dump_json(indent=2, exclude={"timings_ms"}) + "\n").encode()


def _why_no_3d(people: Sequence[Person], skeleton: Skeleton | None) -> str | None:
    """Return why no skeleton is published; None if one is."""
    if not people:
        return "no person was found"
    if len(people) > 1:
        return "several persons: no 3D"
    if skeleton is None:
        return "picture and depth map do not show the same view: no 3D"
    if not skeleton.measured:
        return "no depth at the person: no 3D"
    if not skeleton.gravity_known:
        return "the camera's pose is unknown: no skeleton"
    return "no floor is seen: no skeleton" if skeleton.floor is None else None


def _pictures(frame: Frame, found: Detections, redacted: Anonymised, body: Body | None) -> dict[str, bytes]:
    """Return the artefacts that are pictures; none if the picture is withheld.

    Then the place of a head is not certain, or nobody knows whether there is another: a depth map would show
        it.
    """
    if redacted.picture is None or redacted.file is None:
        return {}
    turns = found.turns
    if turns is None:
        turns = turns_of_person(found.people[0].keypoints, found.people[0].scores) if found.people else 0
    lying = body is not None and body.posture.posture is Posture.LYING
    marks = None
    if body is not None and not lying:
        marks = Marks(floor_below(body.skeleton), None if body.stature is None else body.stature.crown)
    depth = depth_picture(frame.view, redacted.regions, turns, lying=lying, marks=marks)
    return {
        artefact_name(frame.order, BLURRED): redacted.file,
        artefact_name(frame.order, OVERLAY): encode_jpeg(overlay(redacted.picture, found.people, turns)),
        artefact_name(frame.order, DEPTH): encode_png(depth),
    }

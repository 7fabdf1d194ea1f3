"""Count how much of faces is left in the pictures that the analysis of rendered scans would publish.

A third of the scans has a second person. In another third the depth map has more holes than a sensor leaves,
or no depth at the heads. The masks of faces are those of the renderings.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

import pose
from pose.analysis.export import BLURRED, artefact_name
from pose.evaluation.handling import PLAIN, Handling
from pose.evaluation.harness import FRAME_STEP, POSTURES, percentile, render_scan
from pose.geometry.orientation import turns_for_step
from pose.privacy.face_detector import FaceDetector, find_uncovered
from pose.results import FrameResult, RedactionResult
from pose.scan.pictures import decode_picture
from pose.synthetic.dressing import HEAD_PARTS
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.render import Rendering
from pose.synthetic.sensor import smooth_noise

MIN_REDACTED: Final = 0.999  # share of a frame's face pixels; below it, the frame shows a face
_OPEN: Final = 0.02  # a larger share of a face that is not redacted can be recognised
_PICTURE: Final = (480, 360)
FIRST_SEED: Final = 200_000  # other scans than those of `estimator`, on which thresholds were chosen


@dataclass(frozen=True, eq=False)
class Sample:
    """A rendered scan with its truth.

    Attributes:
        scan: as it would be read.
        pictures: of its frames, before anything was done to them.
        about: seed, posture, whether there is a second person, and what is missing in the depth maps.
        handling: what differs from a scan as the guidelines want it.
    """

    scan: pose.Scan
    pictures: list[Picture]
    about: dict[str, Any]
    handling: Handling = PLAIN


@dataclass
class Tally:
    """Counts over all frames.

    Attributes:
        withheld: frames without a published picture.
        reasons: what is said of those, and how often.
        faces, redacted: pixels of faces in published pictures, and those of them that are redacted.
        by_face_detector: faces redacted because the face detector found them, before publication.
        unredacted: faces that the face detector finds outside the redacted regions of a published picture.
        area, heads: pixels that are redacted, and that show heads.
        area_ratios: area / heads of each frame.
        shown: frames that show a face.
        open_faces: those of them that show more than `_OPEN` of it.
        counted: frames that count for the figures of their scans.
        postures: scans whose posture is the right one.
        lengths: error of the body's length of each scan, in metres.
        uncertain: frames of which it is not certain which way is up.
    """

    scans: int = 0
    frames: int = 0
    withheld: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faces: int = 0
    redacted: int = 0
    by_face_detector: int = 0
    unredacted: int = 0
    area: int = 0
    heads: int = 0
    area_ratios: list[float] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    open_faces: int = 0
    counted: int = 0
    postures: int = 0
    lengths: list[float] = field(default_factory=list)
    uncertain: int = 0

    def add(self, other: Tally) -> None:
        """Add the counts of other scans."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def report(self) -> dict[str, Any]:
        """Return a record for `json.dumps`: shares of redacted face pixels and withheld pictures."""
        ratios, frames = self.area_ratios, max(self.frames, 1)
        return {
            "scans": self.scans,
            "frames": self.frames,
            "face_pixels_covered": round(self.redacted / max(self.faces, 1), 5),
            "withheld": round(self.withheld / frames, 4),
            "withheld_because": dict(self.reasons.most_common()),
            "published_frames_with_a_face_shown": len(self.shown),
            "published_frames_with_more_than_2_percent_open": self.open_faces,
            "covered_area_over_heads": round(self.area / max(self.heads, 1), 2),
            "covered_area_over_head_median": percentile(ratios, 50, 2),
            "covered_area_over_head_mean": round(float(np.mean(ratios)), 2) if ratios else None,
            "covered_by_the_second_look": self.by_face_detector,
            "faces_found_outside_what_is_covered": self.unredacted,
            "frames_that_count": round(self.counted / frames, 4),
            "frames_without_a_certain_turn": self.uncertain,
            "posture_right": round(self.postures / max(self.scans, 1), 4),
            "length_median_error_m": percentile(self.lengths, 50, 4),
            "length_90_percent_error_m": percentile(self.lengths, 90, 4),
            "shown": self.shown,
        }


def sample_scan(
    number: int, *, careful: bool, first_seed: int = FIRST_SEED, handling: Handling = PLAIN
) -> Sample:
    """Return scan `number` of the evaluation."""
    scan, pictures, about = _rendered(number, careful, first_seed, handling.roll)
    return Sample(handling.applied(scan), pictures, about, handling)


@lru_cache(maxsize=1)  # several handlings of one scan follow each other
def _rendered(
    number: int, careful: bool, first_seed: int, roll: float
) -> tuple[pose.Scan, list[Picture], dict[str, Any]]:
    seed, posture = first_seed + number // 2, POSTURES[number % 2]
    second = True if number % 3 == 0 else None
    holes = {1: "holes", 4: "no depth at the head"}.get(number % 6)
    scan, renderings = render_scan(seed, posture, careful=careful, second_person=second, roll=roll)
    pictures = [
        render_picture(rendering.scene, _PICTURE, seed, FRAME_STEP * order)
        for order, rendering in enumerate(renderings)
    ]
    frames = tuple(
        replace(frame, rgb=picture.rgb, depthmap=_with_holes(rendering, holes, seed))
        for frame, picture, rendering in zip(scan.frames, pictures, renderings, strict=True)
    )
    about = {"seed": seed, "posture": posture, "second_person": second is not None, "holes": holes}
    return replace(scan, frames=frames, digest=f"{number:064x}"), pictures, about


def _with_holes(rendering: Rendering, holes: str | None, seed: int) -> pose.DepthMap:
    depthmap = rendering.depthmap
    if holes is None:
        return depthmap
    if holes == "holes":
        missing = smooth_noise(np.random.default_rng([seed, 18]), depthmap.depth.shape, 14) > 0.7
    else:
        missing = cv2.dilate(head_mask(rendering).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return replace(depthmap, depth=np.where(missing, np.float32(0), depthmap.depth))


def head_mask(rendered: Rendering | Picture) -> NDArray[np.bool_]:
    """Return (H, W) bool: pixels of heads, hair and hats."""
    return rendered.hits.part_mask(rendered.scene.shapes, *HEAD_PARTS)


def tally_scan(estimator: pose.Estimator, face_detector: FaceDetector, sample: Sample) -> Tally:
    """Return what the analysis would publish of one scan.

    Raises:
        RuntimeError: a picture is published, but the result does not tell what is redacted.
    """
    analysis = pose.analyse_scan(sample.scan, estimator, face_detector=face_detector)
    tally, scene = Tally(scans=1), sample.pictures[0].scene
    tally.counted = analysis.result.frames_used
    tally.postures = int(analysis.result.posture == sample.about["posture"])
    if analysis.result.body_length_m is not None:
        tally.lengths.append(abs(analysis.result.body_length_m - scene.people[0].length))
    upright = round(turns_for_step(scene.step) + sample.handling.roll / 90) % 4
    for frame, picture, seen in zip(analysis.result.frames, sample.pictures, sample.scan.frames, strict=True):
        tally.frames += 1
        tally.uncertain += "orientation" in frame.quality
        if frame.picture is None:
            tally.withheld += 1
            tally.reasons[_why_withheld(frame.reason)] += 1
            continue
        published = decode_picture(analysis.artefacts[artefact_name(frame.order, BLURRED)])
        if frame.covering is None:
            raise RuntimeError(
                f"frame {frame.order} of {sample.about} is published, but its result has no `covering`"
            )
        mask = redaction_mask(frame.covering, _PICTURE)
        _tally_picture(tally, sample, frame, picture, mask)
        tally.unredacted += len(find_uncovered(face_detector, published, seen.view, mask, upright))
    return tally


def _tally_picture(
    tally: Tally, sample: Sample, frame: FrameResult, picture: Picture, mask: NDArray[np.bool_]
) -> None:
    """Count what a published picture shows. `mask`: (H, W), what is redacted."""
    changed, applied = sample.handling.picture, frame.exif_orientation
    head = int(changed.mask(head_mask(picture), applied).sum())
    tally.area, tally.heads = tally.area + int(mask.sum()), tally.heads + head
    if head:
        tally.area_ratios.append(float(mask.sum()) / head)
    true_face = changed.mask(picture.face, applied)
    face, redacted = int(true_face.sum()), int((true_face & mask).sum())
    tally.faces, tally.redacted = tally.faces + face, tally.redacted + redacted
    if redacted < MIN_REDACTED * face:
        tally.shown.append({**sample.about, "frame": frame.order, "covered": round(redacted / face, 3)})
    tally.open_faces += redacted < (1 - _OPEN) * face
    tally.by_face_detector += 0 if frame.covering is None else frame.covering.second_look


def _why_withheld(reason: str | None) -> str:
    """Return the part of a frame's reason that tells why its picture is withheld."""
    return (reason or "").rpartition("picture withheld: ")[2]


def redaction_mask(covering: RedactionResult, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) bool: the pixels of a result's regions in a picture of `size`, width and height."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for outline in covering.regions:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    return mask.astype(np.bool_)

"""Measure how much of faces is left in published pictures: `python -m pose.evaluation.anonymisation`.

The whole analysis runs on held-out rendered scans, and the true masks of faces tell how many of their pixels
are left in the pictures that it would publish. The faces of helpers and other children count as well: a third
of the scans has a second person. In another third the depth map has more holes than a sensor leaves, or no
depth at the heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose.analysis.export import BLURRED, artefact_name
from pose.evaluation.harness import (
    FRAME_STEP,
    POSTURES,
    Careless,
    Device,
    Weights,
    load_depth_network,
    print_report,
    progress,
    render_scan,
)
from pose.evaluation.metadata import add_metadata, count_shared_runs
from pose.geometry.orientation import turns_for_step
from pose.privacy.face_detector import FaceDetector, find_uncovered
from pose.privacy.loading import load_face_detector
from pose.results import RedactionResult
from pose.scan.pictures import decode_picture
from pose.synthetic.dressing import HEAD_PARTS
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering
from pose.synthetic.scan_writer import scan_files
from pose.synthetic.sensor import smooth_noise

MIN_REDACTED: Final = 0.999  # share of a frame's face pixels; below it, the frame shows a face
_PICTURE: Final = (480, 360)
FIRST_SEED: Final = 200_000  # other scans than those of `estimator`, on which thresholds were chosen
_METADATA_SCANS: Final = 4  # written to files with metadata and read again
_MAX_SEED: Final = FIRST_TRAINING_SEED - 1000


@dataclass
class Tally:
    """Counts over all frames.

    Attributes:
        withheld: frames without a published picture.
        faces, redacted: pixels of faces in published pictures, and those of them that are redacted.
        by_face_detector: faces redacted because the face detector found them, before publication.
        unredacted: faces that the face detector finds outside the redacted regions of a published picture.
        area, heads: pixels that are redacted, and that show heads.
        area_ratios: area / heads of each frame.
        shown: frames that show a face.
    """

    frames: int = 0
    withheld: int = 0
    faces: int = 0
    redacted: int = 0
    by_face_detector: int = 0
    unredacted: int = 0
    area: int = 0
    heads: int = 0
    area_ratios: list[float] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)


def sample_scan(
    number: int, *, careful: bool, first_seed: int = FIRST_SEED
) -> tuple[pose.Scan, list[Picture], dict[str, Any]]:
    """Return scan `number` of the evaluation, its pictures with their truth, and its properties."""
    seed, posture = first_seed + number // 2, POSTURES[number % 2]
    second = True if number % 3 == 0 else None
    holes = {1: "holes", 4: "no depth at the head"}.get(number % 6)
    scan, renderings = render_scan(seed, posture, careful=careful, second_person=second)
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


def tally_scan(
    tally: Tally,
    estimator: pose.Estimator,
    face_detector: FaceDetector,
    number: int,
    *,
    careful: bool,
    first_seed: int = FIRST_SEED,
) -> None:
    """Add to `tally` what the analysis would publish of one scan.

    Raises:
        RuntimeError: a picture is published, but the result does not tell what is redacted.
    """
    scan, pictures, about = sample_scan(number, careful=careful, first_seed=first_seed)
    analysis = pose.analyse_scan(scan, estimator, face_detector=face_detector)
    for frame, picture, seen in zip(analysis.result.frames, pictures, scan.frames, strict=True):
        tally.frames += 1
        if frame.picture is None:
            tally.withheld += 1
            continue
        if frame.covering is None:
            raise RuntimeError(
                f"frame {frame.order} of {about} is published, but its result has no `covering`"
            )
        mask = redaction_mask(frame.covering, _PICTURE)
        head = int(head_mask(picture).sum())
        tally.area, tally.heads = tally.area + int(mask.sum()), tally.heads + head
        if head:
            tally.area_ratios.append(float(mask.sum()) / head)
        face, redacted = int(picture.face.sum()), int((picture.face & mask).sum())
        tally.faces, tally.redacted = tally.faces + face, tally.redacted + redacted
        if redacted < MIN_REDACTED * face:
            tally.shown.append({**about, "frame": frame.order, "covered": round(redacted / face, 3)})
        published = decode_picture(analysis.artefacts[artefact_name(frame.order, BLURRED)])
        turns = turns_for_step(scan.step)
        tally.unredacted += len(find_uncovered(face_detector, published, seen.view, mask, turns))
        tally.by_face_detector += frame.covering.second_look


def redaction_mask(covering: RedactionResult, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) bool: the pixels of a result's regions in a picture of `size`, width and height."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for outline in covering.regions:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    return mask.astype(np.bool_)


def count_leaked_metadata(estimator: pose.Estimator, scans: int, first_seed: int = FIRST_SEED) -> int:
    """Return how many runs of bytes artefacts and results share with metadata added to the pictures."""
    shared = 0
    for number in progress(scans, "metadata"):
        files, secrets = {}, []
        truth: dict[str, Any] = {"frames": []}
        for name, data in scan_files(first_seed + number, POSTURES[number % 2], 2, truth=truth):
            if name.startswith("rgb/"):
                data, added = add_metadata(data, number)
                secrets += added
            if not name.startswith("truth"):
                files[name] = data
        analysis = pose.analyse_scan(pose.read_scan_files(files), estimator)
        published = [*analysis.artefacts.values(), analysis.result.model_dump_json().encode()]
        shared += count_shared_runs(published, secrets)
    return shared


def measure(
    estimator: pose.Estimator,
    face_detector: FaceDetector,
    scans: int,
    *,
    careful: bool,
    first_seed: int = FIRST_SEED,
) -> dict[str, Any]:
    """Return a record for `json.dumps`: shares of redacted face pixels and withheld pictures, and leaks."""
    tally = Tally()
    for number in progress(scans, "scans"):
        tally_scan(tally, estimator, face_detector, number, careful=careful, first_seed=first_seed)
    ratios = tally.area_ratios
    return {
        "scans": scans,
        "frames": tally.frames,
        "face_pixels_covered": round(tally.redacted / max(tally.faces, 1), 5),
        "withheld": round(tally.withheld / tally.frames, 4),
        "published_frames_with_a_face_shown": len(tally.shown),
        "covered_area_over_heads": round(tally.area / max(tally.heads, 1), 2),
        "covered_area_over_head_median": round(float(np.median(ratios)), 2) if ratios else None,
        "covered_area_over_head_mean": round(float(np.mean(ratios)), 2) if ratios else None,
        "covered_by_the_second_look": tally.by_face_detector,
        "faces_found_outside_what_is_covered": tally.unredacted,
        "runs_of_bytes_shared_with_metadata": count_leaked_metadata(
            estimator, min(scans, _METADATA_SCANS), first_seed
        ),
        "shown": tally.shown,
    }


def main(
    scans: Annotated[int, typer.Option(min=1, max=2000, help="Scans, standing and lying in turn.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=_MAX_SEED, help="Seed of the first scan.")] = FIRST_SEED,
    careless: Careless = False,
    face_detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Measure how much of rendered faces is left in published pictures and print the report as JSON."""
    estimator = load_depth_network(weights, device)
    detector = load_face_detector(face_detector)
    about = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    about |= {"face_detector": detector.name, "face_detector_version": detector.version}
    about |= {"first_seed": seed}
    print_report(about | measure(estimator, detector, scans, careful=not careless, first_seed=seed))


if __name__ == "__main__":
    typer.run(main)

"""Measure how much of faces is left in published pictures: `python -m pose.evaluation.anonymisation`.

The whole analysis runs on held-out rendered scans, and the true masks of faces tell how many of their pixels
are left in the pictures that it would publish. The faces of helpers and other children count as well: a third
of the scans has a second person. In another third the depth map has more holes than a sensor leaves, or no
depth at the heads. `--handling` holds the phone another way, or chooses another step.
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
from pose.evaluation.handling import HANDLINGS, PLAIN, Handling, parse_handling
from pose.evaluation.harness import (
    FRAME_STEP,
    POSTURES,
    Careless,
    Device,
    Weights,
    load_depth_network,
    percentile,
    print_report,
    progress,
    render_scan,
)
from pose.evaluation.metadata import add_metadata, count_shared_runs
from pose.evaluation.variants import VARIANTS
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
_OPEN: Final = 0.02  # a larger share of a face that is not redacted can be recognised
_PICTURE: Final = (480, 360)
FRESH_SEED: Final = 600_000
HANDLED: Final = ("plain", "upside", "step:other", *VARIANTS)  # the rows of the table
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
        open_faces: those of them that show more than `_OPEN` of it.
        counted: frames that count for the figures of their scans.
        postures: scans whose posture is the right one.
        lengths: error of the body's length of each scan, in metres.
        uncertain: frames of which it is not certain which way is up.
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
    open_faces: int = 0
    counted: int = 0
    postures: int = 0
    lengths: list[float] = field(default_factory=list)
    uncertain: int = 0


def sample_scan(
    number: int, *, careful: bool, first_seed: int = FIRST_SEED, handling: Handling = PLAIN
) -> tuple[pose.Scan, list[Picture], dict[str, Any]]:
    """Return scan `number` of the evaluation, its pictures with their truth, and its properties."""
    seed, posture = first_seed + number // 2, POSTURES[number % 2]
    second = True if number % 3 == 0 else None
    holes = {1: "holes", 4: "no depth at the head"}.get(number % 6)
    scan, renderings = render_scan(seed, posture, careful=careful, second_person=second, roll=handling.roll)
    pictures = [
        render_picture(rendering.scene, _PICTURE, seed, FRAME_STEP * order)
        for order, rendering in enumerate(renderings)
    ]
    frames = tuple(
        replace(frame, rgb=picture.rgb, depthmap=_with_holes(rendering, holes, seed))
        for frame, picture, rendering in zip(scan.frames, pictures, renderings, strict=True)
    )
    about = {"seed": seed, "posture": posture, "second_person": second is not None, "holes": holes}
    scan = replace(scan, frames=frames, digest=f"{number:064x}")
    return handling.applied(scan), pictures, about


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
    handling: Handling = PLAIN,
) -> None:
    """Add to `tally` what the analysis would publish of one scan.

    Raises:
        RuntimeError: a picture is published, but the result does not tell what is redacted.
    """
    scan, pictures, about = sample_scan(number, careful=careful, first_seed=first_seed, handling=handling)
    analysis = pose.analyse_scan(scan, estimator, face_detector=face_detector)
    tally.counted += analysis.result.frames_used
    tally.postures += analysis.result.posture == about["posture"]
    if analysis.result.body_length_m is not None:
        tally.lengths.append(abs(analysis.result.body_length_m - pictures[0].scene.people[0].length))
    upright = round(turns_for_step(pictures[0].scene.step) + handling.roll / 90) % 4
    for frame, picture, seen in zip(analysis.result.frames, pictures, scan.frames, strict=True):
        tally.frames += 1
        tally.uncertain += "orientation" in frame.quality
        if frame.picture is None:
            tally.withheld += 1
            continue
        if frame.covering is None:
            raise RuntimeError(
                f"frame {frame.order} of {about} is published, but its result has no `covering`"
            )
        mask = redaction_mask(frame.covering, _PICTURE)
        head = int(handling.picture.mask(head_mask(picture), frame.exif_orientation).sum())
        tally.area, tally.heads = tally.area + int(mask.sum()), tally.heads + head
        if head:
            tally.area_ratios.append(float(mask.sum()) / head)
        true_face = handling.picture.mask(picture.face, frame.exif_orientation)
        face, redacted = int(true_face.sum()), int((true_face & mask).sum())
        tally.faces, tally.redacted = tally.faces + face, tally.redacted + redacted
        if redacted < MIN_REDACTED * face:
            tally.shown.append({**about, "frame": frame.order, "covered": round(redacted / face, 3)})
        tally.open_faces += redacted < (1 - _OPEN) * face
        published = decode_picture(analysis.artefacts[artefact_name(frame.order, BLURRED)])
        tally.unredacted += len(find_uncovered(face_detector, published, seen.view, mask, upright))
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
    handling: Handling = PLAIN,
) -> dict[str, Any]:
    """Return a record for `json.dumps`: shares of redacted face pixels and withheld pictures, and leaks."""
    tally = Tally()
    for number in progress(scans, "scans"):
        tally_scan(
            tally, estimator, face_detector, number, careful=careful, first_seed=first_seed, handling=handling
        )
    ratios = tally.area_ratios
    return {
        "scans": scans,
        "frames": tally.frames,
        "face_pixels_covered": round(tally.redacted / max(tally.faces, 1), 5),
        "withheld": round(tally.withheld / tally.frames, 4),
        "published_frames_with_a_face_shown": len(tally.shown),
        "published_frames_with_more_than_2_percent_open": tally.open_faces,
        "covered_area_over_heads": round(tally.area / max(tally.heads, 1), 2),
        "covered_area_over_head_median": round(float(np.median(ratios)), 2) if ratios else None,
        "covered_area_over_head_mean": round(float(np.mean(ratios)), 2) if ratios else None,
        "covered_by_the_second_look": tally.by_face_detector,
        "faces_found_outside_what_is_covered": tally.unredacted,
        "runs_of_bytes_shared_with_metadata": count_leaked_metadata(
            estimator, min(scans, _METADATA_SCANS), first_seed
        ),
        "frames_that_count": round(tally.counted / tally.frames, 4),
        "frames_without_a_certain_turn": tally.uncertain,
        "posture_right": round(tally.postures / scans, 4),
        "length_median_error_m": percentile(tally.lengths, 50, 4),
        "length_90_percent_error_m": percentile(tally.lengths, 90, 4),
        "shown": tally.shown,
    }


def print_table(estimator: pose.Estimator, face_detector: FaceDetector, scans: int) -> None:
    """Measure several kinds of scans, and print a row of a Markdown table for each as soon as it is there."""
    heads = ("scans", "frames", "withheld", "> 2 % of a face open", "face pixels redacted", "area / heads")
    print(f"| {' | '.join(heads)} |\n{'| --- ' * len(heads)}|")
    rows: dict[str, dict[str, Any]] = {name: {"handling": parse_handling(name)} for name in HANDLED}
    rows |= {"fresh seeds": {"first_seed": FRESH_SEED}, "careless": {"careful": False}}
    for name, options in rows.items():
        found = measure(estimator, face_detector, scans, **{"careful": True, **options})
        cells = (
            name,
            found["frames"],
            f"{found['withheld']:.1%}",
            found["published_frames_with_more_than_2_percent_open"],
            f"{found['face_pixels_covered']:.3%}",
            found["covered_area_over_heads"],
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main(
    scans: Annotated[int, typer.Option(min=1, max=2000, help="Scans, standing and lying in turn.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=_MAX_SEED, help="Seed of the first scan.")] = FIRST_SEED,
    careless: Careless = False,
    handling: Annotated[
        str,
        typer.Option(help=f"plain, upside, or {', '.join(HANDLINGS)}, with commas."),
    ] = "plain",
    table: Annotated[bool, typer.Option(help="All kinds of scans, as a table.")] = False,
    face_detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Measure how much of rendered faces is left in published pictures and print the report as JSON."""
    try:
        handled = parse_handling(handling)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    estimator = load_depth_network(weights, device)
    detector = load_face_detector(face_detector)
    if table:
        print_table(estimator, detector, scans)
        return
    about = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    about |= {"face_detector": detector.name, "face_detector_version": detector.version}
    about |= {"first_seed": seed, "handling": handling}
    measured = measure(estimator, detector, scans, careful=not careless, first_seed=seed, handling=handled)
    print_report(about | measured)


if __name__ == "__main__":
    typer.run(main)

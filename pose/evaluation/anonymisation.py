"""Whether faces are gone from what is published: `python -m pose.evaluation.anonymisation`.

Held-out rendered scans go through the whole analysis; their true face masks tell how many pixels of faces are
left in the pictures that it would publish. Helpers and other children beside the scanned one count as well:
in a third of the scans somebody stands there. In another the depth map has more holes than sensors leave, or
none of it is left at the head.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

import pose
from pose.analysis.export import BLURRED, artefact_name
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.loading import choose_device
from pose.evaluation.metadata import planted, shared_bytes
from pose.geometry.orientation import turns_for_step
from pose.privacy import face_detector
from pose.results import RedactionResult
from pose.scan.pictures import decode_picture
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render
from pose.synthetic.scan_writer import scan_files
from pose.synthetic.sensor import smooth_noise

FRAMES: Final = 3  # of each scan, a third of a real one's apart
COVERED: Final = 0.999  # of a frame's face pixels; below it a face shows
_HEAD_PARTS: Final = ("head", "ear", "hair", "hat")
_PICTURE: Final = (480, 360)
FIRST_SEED: Final = 200_000  # not those of `evaluate`, by which thresholds were chosen
_WITH_METADATA: Final = 4  # scans whose files are written with metadata and read again
_PROGRESS: Final = Console(stderr=True)


@dataclass
class Tally:
    """What was found in all frames.

    Attributes:
        faces, covered: pixels in published pictures.
        second_look: faces that it found before the pictures were published, and `found_outside` afterwards.
        area, heads: pixels that are covered and that show heads; `areas` their ratio in each frame.
        shown: frames in which a face shows.
    """

    frames: int = 0
    withheld: int = 0
    faces: int = 0
    covered: int = 0
    second_look: int = 0
    found_outside: int = 0
    area: int = 0
    heads: int = 0
    areas: list[float] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)


def scan_of(
    number: int, *, careful: bool, first_seed: int = FIRST_SEED
) -> tuple[pose.Scan, list[Picture], dict[str, Any]]:
    """The evaluation's scan of this number, its pictures with their truth, and what is special about it."""
    seed, posture = first_seed + number // 2, ("standing", "lying")[number % 2]
    second = True if number % 3 == 0 else None
    holes = {1: "holes", 4: "no depth at the head"}.get(number % 6)
    frames, pictures = [], []
    for order in range(FRAMES):
        rendering = render(seed, posture, frame=3 * order, careful=careful, second_person=second)
        picture = render_picture(rendering.scene, _PICTURE, seed, 3 * order)
        depthmap = _with_holes(rendering, holes, seed)
        frames.append(pose.Frame(order, rendering.scene.step, picture.rgb, depthmap))
        pictures.append(picture)
    about = {"seed": seed, "posture": posture, "second_person": second is not None, "holes": holes}
    return pose.Scan(frames[0].step, tuple(frames), (), digest=f"{number:064x}"), pictures, about


def _with_holes(rendering: Rendering, holes: str | None, seed: int) -> pose.DepthMap:
    depthmap = rendering.depthmap
    if holes is None:
        return depthmap
    if holes == "holes":
        lost = smooth_noise(np.random.default_rng([seed, 18]), depthmap.depth.shape, 14) > 0.7
    else:
        lost = cv2.dilate(_heads(rendering).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return replace(depthmap, depth=np.where(lost, np.float32(0), depthmap.depth))


def _heads(seen: Rendering | Picture) -> NDArray[np.bool_]:
    """Pixels of heads, hair and hats."""
    parts = np.array([shape.part in _HEAD_PARTS for shape in seen.scene.shapes] + [False])
    return np.asarray(parts[seen.hits.index])


def tally_scan(
    tally: Tally, estimator: pose.Estimator, number: int, *, careful: bool, first_seed: int = FIRST_SEED
) -> None:
    """Adds to `tally` what the analysis would publish of one scan.

    Raises:
        RuntimeError: a picture is published of which the result does not say what is covered.
    """
    scan, pictures, about = scan_of(number, careful=careful, first_seed=first_seed)
    analysis = pose.analyse_scan(scan, estimator)
    for frame, picture in zip(analysis.result.frames, pictures, strict=True):
        tally.frames += 1
        if frame.picture is None:
            tally.withheld += 1
            continue
        if frame.covering is None:
            raise RuntimeError(f"frame {frame.order} of {about} is published, and does not say how")
        mask = covered_pixels(frame.covering, _PICTURE)
        head = int(_heads(picture).sum())
        tally.area, tally.heads = tally.area + int(mask.sum()), tally.heads + head
        if head:
            tally.areas.append(float(mask.sum()) / head)
        face, hidden = int(picture.face.sum()), int((picture.face & mask).sum())
        tally.faces, tally.covered = tally.faces + face, tally.covered + hidden
        if hidden < COVERED * face:
            tally.shown.append({**about, "frame": frame.order, "covered": round(hidden / face, 3)})
        published = decode_picture(analysis.artefacts[artefact_name(frame.order, BLURRED)])
        found = face_detector.find_faces(published, turns_for_step(scan.step))
        tally.found_outside += len(face_detector.unredacted(found, mask))
        tally.second_look += frame.covering.second_look


def covered_pixels(covering: RedactionResult, size: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels of a result's regions."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for outline in covering.regions:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    return mask.astype(np.bool_)


def shared_with_metadata(estimator: pose.Estimator, scans: int, first_seed: int = FIRST_SEED) -> int:
    """Runs of bytes that artefacts and results share with metadata that was planted into the pictures."""
    shared = 0
    for number in track(range(scans), "metadata", console=_PROGRESS):
        files, secrets = {}, []
        for name, data in scan_files(
            first_seed + number, ("standing", "lying")[number % 2], 2, truth={"frames": []}
        ):
            if name.startswith("rgb/"):
                data, hidden = planted(data, number)
                secrets += hidden
            if not name.startswith("truth"):
                files[name] = data
        analysis = pose.analyse_scan(pose.read_scan_files(files), estimator)
        published = [*analysis.artefacts.values(), analysis.result.model_dump_json().encode()]
        shared += shared_bytes(published, secrets)
    return shared


def measure(
    estimator: pose.Estimator, scans: int, *, careful: bool, first_seed: int = FIRST_SEED
) -> dict[str, Any]:
    """Shares of face pixels covered and of pictures withheld, and the frames in which a face shows."""
    tally = Tally()
    for number in track(range(scans), "scans", console=_PROGRESS):
        tally_scan(tally, estimator, number, careful=careful, first_seed=first_seed)
    median, mean = (round(float(f(tally.areas)), 2) if tally.areas else None for f in (np.median, np.mean))
    return {
        "scans": scans,
        "frames": tally.frames,
        "face_pixels_covered": round(tally.covered / max(tally.faces, 1), 5),
        "withheld": round(tally.withheld / tally.frames, 4),
        "published_frames_with_a_face_shown": len(tally.shown),
        "covered_area_over_heads": round(tally.area / max(tally.heads, 1), 2),
        "covered_area_over_head_median": median,
        "covered_area_over_head_mean": mean,
        "covered_by_the_second_look": tally.second_look,
        "faces_found_outside_what_is_covered": tally.found_outside,
        "runs_of_bytes_shared_with_metadata": shared_with_metadata(
            estimator, min(scans, _WITH_METADATA), first_seed
        ),
        "shown": tally.shown,
    }


def main(
    scans: Annotated[int, typer.Option(min=1, max=2000)] = 300,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=FIRST_TRAINING_SEED - 1000, help="Of the first scan; others are other scans."
        ),
    ] = FIRST_SEED,
    careless: Annotated[
        bool, typer.Option(help="Views and sensors beyond what the guidelines ask for.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights other than the package's own.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Measure how much of rendered faces is left in published pictures and print it as JSON."""
    estimator = DepthHRNet(weights, device=choose_device(device))
    about = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    about |= {"first_seed": seed}
    print(json.dumps(about | measure(estimator, scans, careful=not careless, first_seed=seed), indent=1))


if __name__ == "__main__":
    typer.run(main)

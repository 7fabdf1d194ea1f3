"""Whether faces are gone from what is published: `python -m pose.bodies.evaluate_anonymisation`.

Held-out rendered frames go through the estimator and `anonymise`; their true face masks tell how many pixels
of faces are left. Helpers and other children beside the scanned one count as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

import pose
from pose.bodies.picture import take_picture
from pose.bodies.rendering import render
from pose.bodies.samples import FIRST_TRAINING_SEED
from pose.depth_hrnet import DepthHRNet
from pose.estimator import choose_device

COVERED = 0.999  # of a frame's face pixels; below it a face shows
_HEAD_PARTS = ("head", "ear", "hair", "hat")
_PICTURE = (480, 360)
_FIRST_SEED = 200_000  # not those of `evaluate`, by which thresholds were chosen


def measure(estimator: pose.Estimator, frames: int, *, careful: bool) -> dict[str, Any]:
    """Shares of face pixels covered and of pictures withheld, and the frames in which a face shows."""
    faces, covered, withheld, areas, shown = 0, 0, 0, [], []
    for number in track(range(frames), "frames", console=Console(stderr=True)):
        seed, posture = _FIRST_SEED + number // 2, ("standing", "lying")[number % 2]
        rendering = render(seed, posture, careful=careful)
        picture = take_picture(rendering.scene, _PICTURE, seed, 0)
        frame = pose.Frame(0, rendering.scene.step, picture.rgb, rendering.depthmap)
        (people,) = estimator.estimate([frame])
        result = pose.anonymise(picture.rgb, people, frame.depthmap, color=frame.color)
        if result.mask is None:
            withheld += 1
            continue
        of_head = np.array([shape.part in _HEAD_PARTS for shape in picture.scene.shapes] + [False])
        head = int(of_head[picture.hits.index].sum())
        if head:
            areas.append(float(result.mask.sum()) / head)
        face, hidden = int(picture.face.sum()), int((picture.face & result.mask).sum())
        faces, covered = faces + face, covered + hidden
        if hidden < COVERED * face:
            shown.append({"seed": seed, "posture": posture, "covered": round(hidden / face, 3)})
    return {
        "frames": frames,
        "face_pixels_covered": round(covered / max(faces, 1), 5),
        "withheld": round(withheld / frames, 4),
        "published_frames_with_a_face_shown": len(shown),
        "covered_area_over_head_median": round(float(np.median(areas)), 2) if areas else None,
        "shown": shown,
    }


def main(
    frames: Annotated[int, typer.Option(min=2, max=2 * (FIRST_TRAINING_SEED - _FIRST_SEED))] = 300,
    careless: Annotated[
        bool, typer.Option(help="Views and sensors beyond what the guidelines ask for.")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="Weights other than the package's own.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Measure how much of rendered faces is left in published pictures and print it as JSON."""
    estimator = DepthHRNet(weights, device=choose_device(device))
    about = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    print(json.dumps(about | measure(estimator, frames, careful=not careless), indent=1))


if __name__ == "__main__":
    typer.run(main)

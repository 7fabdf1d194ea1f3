"""Shared by the evaluation programs: held-out rendered scans, command-line options, statistics."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import track

import pose
from pose import keypoints as kp
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.loading import choose_device
from pose.synthetic.render import Rendering, render

POSTURES: Final = ("standing", "lying")  # in turn, from scan to scan
FRAMES: Final = 3  # of each scan, evenly spread over the nine frames of a real one
FRAME_STEP: Final = 3
_PICTURE: Final = (180, 240, 3)

Careless = Annotated[bool, typer.Option(help="Views and sensors beyond the scanning guidelines.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Weights = Annotated[Path | None, typer.Option(help="Weights other than the package's own.")]


def to_frame(rendering: Rendering, order: int) -> pose.Frame:
    """Return a rendering as frame number `order` of a scan, with a black picture."""
    return pose.Frame(order, rendering.scene.step, np.zeros(_PICTURE, np.uint8), rendering.depthmap)


def render_scan(
    seed: int,
    posture: str,
    *,
    careful: bool = True,
    second_person: bool | None = None,
    roll: float = 0.0,
    varied: bool = False,
) -> tuple[pose.Scan, list[Rendering]]:
    """Return a scan of `FRAMES` frames with black pictures, and its renderings. See `sample_scene`."""
    renderings = [
        render(
            seed,
            posture,
            frame=FRAME_STEP * order,
            careful=careful,
            second_person=second_person,
            roll=roll,
            varied=varied,
        )
        for order in range(FRAMES)
    ]
    frames = tuple(to_frame(rendering, order) for order, rendering in enumerate(renderings))
    return pose.Scan(frames[0].step, frames, (), digest=f"{seed:064x}"), renderings


def load_depth_network(weights: Path | None, device: str) -> pose.Estimator:
    """Return the depth network with these weights, None for the package's own. Raises as `load_estimator`."""
    return DepthHRNet(weights, device=choose_device(device))


def torso_length(keypoints: NDArray[np.float64]) -> float:
    """Return the distance from the middle of the shoulders to the middle of the hips of (17, 2) keypoints."""
    corners = keypoints[list(kp.TORSO)]
    return float(np.linalg.norm(corners[:2].mean(axis=0) - corners[2:].mean(axis=0)))


def progress(count: int, what: str) -> Iterable[int]:
    """Count from 0 to `count` - 1 with a progress bar on stderr; stdout is for the report."""
    return track(range(count), what, console=Console(stderr=True))


def share(part: float, whole: float) -> float | None:
    """Return part / whole, rounded to four digits; None if there is nothing to measure.

    >>> share(1, 3), share(0, 0)
    (0.3333, None)
    """
    return round(float(part / whole), 4) if whole else None


def percentile(values: ArrayLike, percent: float, digits: int = 3) -> float | None:
    """Return a percentile of values (N,), rounded; None if there are none.

    >>> percentile([1, 2, 4], 50), percentile([], 50)
    (2.0, None)
    """
    array = np.asarray(values, np.float64)
    return round(float(np.percentile(array, percent)), digits) if array.size else None


def print_report(report: dict[str, Any]) -> None:
    """Print a report as JSON."""
    print(json.dumps(report, indent=1))

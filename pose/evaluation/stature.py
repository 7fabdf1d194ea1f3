"""Measure the stature on rendered scans held out from training: `python -m pose.evaluation.stature`.

Each scan has nine frames. With `--real FOLDER` it measures scans of real children, whose recorded statures
are in FOLDER/truth.json: `{"NAME OF THE SCAN'S FOLDER": {"stature_m": 0.98, …}, …}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

import pose
from pose.evaluation.harness import (
    POSTURES,
    Careless,
    Device,
    Weights,
    load_depth_network,
    percentile,
    print_report,
    progress,
    share,
    to_frame,
)
from pose.stature.combine import StatureInterval, combine_frames
from pose.stature.estimate import FrameStature, frame_stature
from pose.stature.weights import StatureModel, read_stature_model
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render

FRAMES: Final = 9
FIRST_SEED: Final = 500_000


@dataclass
class Tally:
    """The statures of one posture.

    Attributes:
        scans, frames: how many there were.
        scan_cm, frame_cm: stature minus the true one, of those that tell one.
        crown_cm: height of the crown minus the true one, in single frames of children who stand.
        widths_cm: half widths of the intervals of scans.
        held, frames_held: intervals that hold the true stature.
    """

    scans: int = 0
    frames: int = 0
    scan_cm: list[float] = field(default_factory=list)
    frame_cm: list[float] = field(default_factory=list)
    crown_cm: list[float] = field(default_factory=list)
    widths_cm: list[float] = field(default_factory=list)
    held: int = 0
    frames_held: int = 0

    def add(self, frames: list[FrameStature], stature: float, model: StatureModel) -> None:
        """Count a scan of `FRAMES` frames, of which `frames` tell a stature."""
        self.scans += 1
        self.frames += FRAMES
        if frames:
            whole = combine_frames(frames, model.calibrations)
            self.scan_cm.append(100 * (whole.value - stature))
            self.widths_cm.append(50 * (whole.high - whole.low))
            self.held += holds(whole, stature)
        for frame in frames:
            single = combine_frames([frame], model.calibrations)
            self.frame_cm.append(100 * (frame.stature - stature))
            self.frames_held += holds(single, stature)

    def report(self) -> dict[str, Any]:
        """Return medians in centimetres and shares as a record for `json.dumps`."""
        return {
            "scans": self.scans,
            "scans_told": share(len(self.scan_cm), self.scans),
            "error_cm_median": percentile(np.abs(self.scan_cm), 50),
            "error_cm_p95": percentile(np.abs(self.scan_cm), 95),
            "bias_cm_median": percentile(self.scan_cm, 50),
            "interval_holds": share(self.held, len(self.scan_cm)),
            "interval_half_cm_median": percentile(self.widths_cm, 50),
            "frames_told": share(len(self.frame_cm), self.frames),
            "frame_error_cm_median": percentile(np.abs(self.frame_cm), 50),
            "frame_error_cm_p95": percentile(np.abs(self.frame_cm), 95),
            "frame_interval_holds": share(self.frames_held, len(self.frame_cm)),
            "crown_error_cm_median": percentile(np.abs(self.crown_cm), 50),
        }


def holds(interval: StatureInterval, stature: float) -> bool:
    """Return whether the interval holds a stature."""
    return interval.low <= stature <= interval.high


def statures(
    frames: list[pose.Frame], estimator: pose.Estimator, model: StatureModel
) -> list[FrameStature | None]:
    """Return the stature of the only person of each frame; None without one, or if it cannot be told."""
    return [
        frame_stature(frame.view, people[0].keypoints, people[0].scores, frame.floor, model)
        if len(people) == 1
        else None
        for frame, people in zip(frames, estimator.estimate(frames), strict=True)
    ]


def crown_error(found: FrameStature, rendering: Rendering) -> float:
    """Return by how many metres the crown of a child who stands was found too high."""
    axes, middle, radii = rendering.scene.people[0].head
    return float(found.crown[1] - middle[1] - np.linalg.norm(axes[1] * radii))


def evaluate(
    estimator: pose.Estimator,
    model: StatureModel,
    scans: int,
    *,
    careful: bool = True,
    seed: int = FIRST_SEED,
) -> dict[str, Any]:
    """Measure the stature on so many rendered scans, standing and lying in turn."""
    tallies = {posture: Tally() for posture in POSTURES}
    for number in progress(scans, "scans"):
        posture = POSTURES[number % 2]
        tally = tallies[posture]
        renderings = [
            render(seed + number, posture, frame=order, careful=careful, second_person=False)
            for order in range(FRAMES)
        ]
        frames = [to_frame(rendering, order) for order, rendering in enumerate(renderings)]
        found = statures(frames, estimator, model)
        usable = [each for each in found if each is not None and each.lying == (posture == "lying")]
        tally.add(usable, renderings[0].scene.people[0].measures.stature, model)
        if posture == "standing":
            tally.crown_cm += [
                100 * crown_error(each, rendering)
                for each, rendering in zip(found, renderings, strict=True)
                if each is not None
            ]
    return {
        "version": model.version,
        "careful": careful,
        **{posture: tally.report() for posture, tally in tallies.items()},
    }


def evaluate_real(folder: Path, estimator: pose.Estimator, model: StatureModel) -> dict[str, Any]:
    """Measure the stature on real scans, each a folder that truth.json names with its stature."""
    report: dict[str, Any] = {}
    errors, single = [], []
    for name, truth in sorted(json.loads((folder / "truth.json").read_text()).items()):
        if "stature_m" not in truth:
            continue
        stature = float(truth["stature_m"])
        found = statures(list(pose.read_scan(folder / name).frames), estimator, model)
        told = [each for each in found if each is not None]
        whole = combine_frames(told, model.calibrations) if told else None
        report[name] = {
            "frames_cm": [
                None if each is None else round(100 * (each.stature - stature), 2) for each in found
            ],
            "error_cm": None if whole is None else round(100 * (whole.value - stature), 2),
            "interval_half_cm": None if whole is None else round(50 * (whole.high - whole.low), 2),
            "interval_holds": None if whole is None else holds(whole, stature),
        }
        single += [100 * (each.stature - stature) for each in told]
        errors += [] if whole is None else [100 * (whole.value - stature)]
    return {
        "scans": report,
        "error_cm_median": percentile(np.abs(errors), 50),
        "error_cm_most": percentile(np.abs(errors), 100),
        "frame_error_cm_median": percentile(np.abs(single), 50),
        "frame_error_cm_most": percentile(np.abs(single), 100),
    }


def main(
    scans: Annotated[
        int, typer.Option(min=0, max=FIRST_TRAINING_SEED - FIRST_SEED, help="Scans of nine frames.")
    ] = 120,
    careless: Careless = False,
    seed: Annotated[int, typer.Option(help="First seed.")] = FIRST_SEED,
    real: Annotated[Path | None, typer.Option(help="Folder of real scans with a truth.json.")] = None,
    weights: Weights = None,
    stature_weights: Annotated[Path | None, typer.Option(help="Other weights of the stature.")] = None,
    device: Device = "cpu",
) -> None:
    """Measure the stature and print the report as JSON."""
    estimator = load_depth_network(weights, device)
    model = read_stature_model(stature_weights)
    found = evaluate(estimator, model, scans, careful=not careless, seed=seed) if scans else {}
    if real is not None:
        found["real"] = evaluate_real(real, estimator, model)
    print_report(found)


if __name__ == "__main__":
    typer.run(main)

"""Compare the lifting with that of the original system, side by side: `make lifting`.

Both methods lift the same 2D keypoints in the same rendered frames, and are compared with the true joints.
The keypoints are the true ones with noise, which shows the lifting alone, and those of the depth network. The
table also tells the error of the floor's height, which depends on no keypoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose.estimators.base import Person
from pose.evaluation.harness import Device, Weights, load_depth_network, progress, to_frame
from pose.geometry.floor import floor_height
from pose.lifting.lift import Method, lift_in_view
from pose.lifting.nearest import NEAREST_WIDTH
from pose.synthetic.render import FIRST_TRAINING_SEED, Rendering, render
from pose.synthetic.scene import sample_scene
from pose.synthetic.sensor import smooth_noise

FIRST_SEED: Final = 300_000  # seeds that no other evaluation uses
NOISE_PX: Final = 3.0  # deviation in u and in v, in pixels of a picture `NEAREST_WIDTH` wide
KINDS: Final = ("standing", "lying", "bed", "helper", "5 % holes", "15 % holes", "30 % holes")
SOURCES: Final = ("true + 3 px", "model")
COMPARED: Final[tuple[Method, ...]] = ("inside", "nearest")
_HOLE_SIZE: Final = 7.0  # pixels
_HEADS: Final = (
    "frames", "keypoints", "method", "found", "visible joints, mean cm", "median cm", "hidden ones, mean cm",
    "hidden but observed", "body length, median %", "bias %", "floor, median mm",
)  # fmt: skip


@dataclass
class Errors:
    """The errors of one method in the frames of one kind.

    Attributes:
        frames, found: all frames, and those in which the child was found and has depth.
        visible, hidden: 3D distances in metres to the true joints.
        hidden_observed: of each hidden joint, whether the method counts it as observed.
        length: body length minus the true one, as a share of the true one, of each frame.
        floor: absolute error of the floor's height in metres, of each frame with one.
    """

    frames: int = 0
    found: int = 0
    visible: list[float] = field(default_factory=list)
    hidden: list[float] = field(default_factory=list)
    hidden_observed: list[bool] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)

    def add(self, frame: pose.Frame, rendering: Rendering, person: Person | None, method: Method) -> None:
        """Lift a person with the true floor, and compare with the truth; None is nobody."""
        self.frames += 1
        floor = floor_height(frame.depthmap, "median" if method == "nearest" else "lowest")
        if floor is not None:
            self.floor.append(abs(floor))
        if person is None:
            return
        child = rendering.scene.people[0]
        _, visible = rendering.keypoints(child)
        skeleton = lift_in_view(frame.view, person.keypoints, person.scores, method, 0.0)
        if not skeleton.measured:
            return
        self.found += 1
        error = np.linalg.norm(skeleton.joints - child.joints, axis=1)
        self.visible += error[visible].tolist()
        self.hidden += error[~visible].tolist()
        self.hidden_observed += skeleton.observed[~visible].tolist()
        length = skeleton.body_length if method == "nearest" else skeleton.reliable_length
        self.length.append(length / child.length - 1)

    def cells(self) -> list[str]:
        """Return the cells of this row, as the heads of the table name them."""
        length = np.array(self.length)
        return [
            f"{self.found} of {self.frames}",
            _number(np.mean, 100 * np.array(self.visible), ".2f"),
            _number(np.median, 100 * np.array(self.visible), ".2f"),
            _number(np.mean, 100 * np.array(self.hidden), ".1f"),
            _number(np.mean, np.array(self.hidden_observed, float), ".0%"),
            _number(np.median, 100 * np.abs(length), ".2f"),
            _number(np.median, 100 * length, "+.2f"),
            _number(np.median, 1000 * np.array(self.floor), ".1f"),
        ]


def compare(
    estimator: pose.Estimator, renderings: int, first_seed: int = FIRST_SEED
) -> dict[tuple[str, str, Method], Errors]:
    """Return the errors by kind of frame, source of the keypoints, and method.

    Args:
        estimator: finds the keypoints of the source "model".
        renderings: frames; the kinds come in turn.
        first_seed: of the frames.
    """
    found = {(kind, source, method): Errors() for kind in KINDS for source in SOURCES for method in COMPARED}
    seeds = iter(range(first_seed, FIRST_TRAINING_SEED))
    for number in progress(renderings, "renderings"):
        kind = KINDS[number % len(KINDS)]
        rendering = render_kind(kind, seeds)
        frame = to_frame(rendering, 0)
        people = (noisy_truth(frame, rendering, number), _nearest_person(estimator, frame, rendering))
        for source, person in zip(SOURCES, people, strict=True):
            for method in COMPARED:
                found[kind, source, method].add(frame, rendering, person, method)
    return found


def render_kind(kind: str, seeds: Iterator[int]) -> Rendering:
    """Return the first rendering of these seeds that is of a kind (one of `KINDS`)."""
    for seed in seeds:
        if kind.endswith("holes"):
            rendering = render(seed, ("standing", "lying")[seed % 2], second_person=False)
            share = float(kind.split()[0]) / 100
            return replace(rendering, depthmap=punch_holes(rendering.depthmap, share, seed))
        if kind == "helper":
            return render(seed, ("standing", "lying")[seed % 2], second_person=True)
        if kind == "bed" and not _on_a_bed(seed):
            continue
        return render(seed, "standing" if kind == "standing" else "lying", second_person=False)
    raise ValueError("no seed below those of the training is left; begin with a lower one")


def _on_a_bed(seed: int) -> bool:
    return any(shape.part == "bed" for shape in sample_scene(seed, "lying", second_person=False).shapes)


def punch_holes(depthmap: pose.DepthMap, share: float, seed: int) -> pose.DepthMap:
    """Return a depth map in which this share of the measured pixels is lost, in patches."""
    depth = depthmap.depth.copy()
    noise = smooth_noise(np.random.default_rng([seed, 30]), depth.shape, _HOLE_SIZE)
    depth[noise > np.quantile(noise[depth > 0], 1 - share)] = 0
    return replace(depthmap, depth=depth)


def noisy_truth(frame: pose.Frame, rendering: Rendering, seed: int) -> Person:
    """Return the child with its true keypoints and Gaussian noise; all scores are alike."""
    in_depth, _ = rendering.keypoints(rendering.scene.people[0])
    points: NDArray[np.float64] = frame.view.to_picture(in_depth)
    noise = np.random.default_rng([seed, 31]).normal(0, NOISE_PX, points.shape)
    points = points + noise * frame.view.picture_size[0] / NEAREST_WIDTH
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Person(points, np.full(len(points), 0.9), (x0, y0, x1, y1), 0.9)


def _nearest_person(estimator: pose.Estimator, frame: pose.Frame, rendering: Rendering) -> Person | None:
    """Return whom the estimator finds nearest to the child; None if nobody."""
    truth = frame.view.to_picture(rendering.keypoints(rendering.scene.people[0])[0])

    def distance(person: Person) -> float:
        return float(np.median(np.linalg.norm(person.keypoints - truth, axis=1)))

    return min(estimator.estimate([frame])[0], key=distance, default=None)


def table(found: dict[tuple[str, str, Method], Errors]) -> str:
    """Return the errors as a Markdown table."""
    lines = [f"| {' | '.join(_HEADS)} |", "| --- " * len(_HEADS) + "|"]
    lines += [f"| {' | '.join([*key, *errors.cells()])} |" for key, errors in found.items()]
    return "\n".join(lines)


def _number(statistic: Callable[[NDArray[np.float64]], Any], values: NDArray[np.float64], form: str) -> str:
    return format(float(statistic(values)), form) if values.size else "-"


def main(
    renderings: Annotated[
        int, typer.Option(min=1, max=100_000, help="Frames; the kinds come in turn.")
    ] = 300,
    seed: Annotated[
        int, typer.Option(min=0, max=FIRST_TRAINING_SEED - 1, help="Seed of the first frame.")
    ] = FIRST_SEED,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Compare the lifting with that of the original system on rendered frames, and print a Markdown table."""
    print(table(compare(load_depth_network(weights, device), renderings, seed)))


if __name__ == "__main__":
    typer.run(main)

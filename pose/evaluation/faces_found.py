"""Measure which faces a face detector finds, and how long it takes: `python -m pose.evaluation.faces_found`.

A photographed face (`skimage.data.astronaut()`; scikit-image is in the extra `test`) is pasted into rendered
rooms in many sizes and tilts, in twelve places of a picture of 1440x1080 pixels that is stored as JPEG. The
size is the height of the face from the middle of the forehead to the chin. The table tells in how many places
the face was found and the lowest score, how often a rendered child's face is found, and how often a face is
found in rooms where nobody is. The options try other plans of YuNet's first stage.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pose.errors import PoseError
from pose.evaluation.harness import POSTURES, progress
from pose.geometry.orientation import turns_for_step
from pose.privacy.face_detector import FaceDetector
from pose.privacy.loading import load_face_detector
from pose.privacy.yunet import MIN_SCORE, Plan, YuNet
from pose.scan.pictures import decode_picture, encode_jpeg
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.render import render
from pose.weights.registry import FACE_DETECTOR
from pose.weights.store import WeightsStore

SIZE: Final = (1440, 1080)
FIRST_SEED: Final = 300_000
_PLACES: Final = (4, 3)  # columns and rows
_JITTER: Final = 60  # pixels about each place
# Face heights in pixels, and tilts in degrees, counter-clockwise.
WANTED: Final[tuple[tuple[int, tuple[int, ...]], ...]] = (
    (28, (0, 12, -12, 25, -25)),
    (40, (0, 45, -45)),
    (80, (0, 60, 90, 120, 150, 180, 210, 240, 270, 300)),
    (160, (0, 90, 180)),
)
SMALLER: Final[tuple[tuple[int, tuple[int, ...]], ...]] = ((20, (0,)), (24, (0, 25, -25)), (28, (45, -45)))
_LOWEST: Final = 0.3  # score that is told


@dataclass(frozen=True, eq=False)
class FacePicture:
    """A photographed face.

    Attributes:
        rgb: (H, W, 3) uint8, upright.
        centre: u, v of the face's middle.
        height: of the face, from the middle of the forehead to the chin, in pixels.
        radius: of the disc about the middle that is pasted, in pixels.
    """

    rgb: NDArray[np.uint8]
    centre: tuple[float, float]
    height: float
    radius: float


@dataclass
class Row:
    """How a face of one size and tilt was found."""

    pixels: int
    degrees: int
    places: int = 0
    found: int = 0
    lowest: float = 1.0


def face_picture() -> FacePicture:
    """Return the astronaut Eileen Collins (NASA, in the public domain).

    Raises:
        ImportError: scikit-image is not installed.
    """
    from skimage import data

    return FacePicture(
        np.asarray(data.astronaut(), np.uint8), centre=(223.0, 119.5), height=113.0, radius=105.0
    )


def paste(
    picture: NDArray[np.uint8], face: FacePicture, at: tuple[float, float], pixels: float, degrees: float
) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) with a face in it.

    Args:
        at: u, v of the face's middle.
        pixels: height of the face.
        degrees: its tilt, counter-clockwise.
    """
    source, scale, shrink = face.rgb, pixels / face.height, 1.0
    if scale < 1:  # shrink first, so that no detail is left out
        source = np.asarray(cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        shrink, scale = scale, 1.0
    centre = (np.array(face.centre) + 0.5) * shrink - 0.5
    about = (float(centre[0]), float(centre[1]))
    turned = np.asarray(cv2.getRotationMatrix2D(about, degrees, scale), np.float64)
    turned[:, 2] += np.array(at) - centre
    size = (picture.shape[1], picture.shape[0])
    alpha = np.zeros(source.shape[:2], np.float32)
    middle = (round(float(centre[0])), round(float(centre[1])))
    cv2.circle(alpha, middle, max(1, round(face.radius * shrink)), 1.0, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 2), np.float32)
    pasted = cv2.warpAffine(source, turned, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpAffine(alpha, turned, size)[..., None]
    return np.asarray(picture * (1 - share) + pasted * share, np.uint8)


def empty_room(seed: int) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) of a rendered room in which nobody is."""
    return render_picture(render(seed, "empty").scene, SIZE, seed, 0).rgb


def measure_row(
    detector: FaceDetector, rooms: Sequence[NDArray[np.uint8]], pixels: int, degrees: int
) -> tuple[Row, int]:
    """Return the row of one size and tilt, and how many boxes were found elsewhere."""
    rng = np.random.default_rng([pixels, degrees % 360])
    columns, rows = _PLACES
    row = Row(pixels, degrees)
    picture, face = rooms[(pixels + degrees) % len(rooms)], face_picture()
    places = []
    for i in range(columns * rows):
        step = np.array(SIZE) / _PLACES
        u, v = (np.array((i % columns, i // columns)) + 0.5) * step + rng.uniform(-_JITTER, _JITTER, 2)
        places.append((float(u), float(v)))
        picture = paste(picture, face, places[-1], pixels, degrees)
    seen = decode_picture(encode_jpeg(picture, 90))
    faces = _scored(detector, seen, 0)
    middles = (faces[:, :2] + faces[:, 2:4]) / 2
    taken = np.zeros(len(faces), bool)
    for place in places:
        here = np.linalg.norm(middles - place, axis=1) < 0.35 * pixels
        taken |= here
        score = float(faces[here, 4].max(initial=0))
        row.places += 1
        row.found += score >= MIN_SCORE
        row.lowest = min(row.lowest, score)
    return row, int((faces[~taken, 4] >= MIN_SCORE).sum())


def _scored(detector: FaceDetector, rgb: NDArray[np.uint8], turns: int) -> NDArray[np.float64]:
    """Return boxes and scores (n, 5); the cascades tell no score: theirs is 1."""
    if isinstance(detector, YuNet):
        return detector.find_with_scores(rgb, turns, min_score=_LOWEST)
    faces = detector.find(rgb, turns)
    return np.column_stack((faces, np.ones(len(faces))))


def measure_rendered(detector: FaceDetector, pictures: int) -> tuple[int, int, int]:
    """Return in how many pictures of rendered children a face is seen, is found, and boxes elsewhere."""
    seen, found, elsewhere = 0, 0, 0
    for number in progress(pictures, "rendered children"):
        scene = render(FIRST_SEED + number, POSTURES[number % 2]).scene
        picture = render_picture(scene, SIZE, FIRST_SEED + number, 0)
        on_face = [_is_on(picture, box) for box in detector.find(picture.rgb, turns_for_step(scene.step))]
        if picture.face.any():
            seen += 1
            found += any(on_face)
        elsewhere += on_face.count(False)
    return seen, found, elsewhere


def _is_on(picture: Picture, box: NDArray[np.float64]) -> bool:
    x0, y0, x1, y1 = np.maximum(np.rint(box), 0).astype(int)
    part = picture.face[y0 : y1 + 1, x0 : x1 + 1]
    return bool(part.size and part.mean() > 0.2)


def main(
    face_detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    rooms: Annotated[int, typer.Option(min=1, max=100, help="Rendered rooms without people.")] = 4,
    children: Annotated[int, typer.Option(min=0, max=1000, help="Pictures of rendered children.")] = 20,
    smaller: Annotated[bool, typer.Option(help="Also faces that are smaller or more tilted.")] = False,
    long_side: Annotated[int, typer.Option(min=64, help="First stage: pixels of the copy.")] = Plan.long_side,
    small: Annotated[float, typer.Option(help="First stage: lowest score of small proposals.")] = Plan.small,
    large: Annotated[float, typer.Option(help="First stage: lowest score of others.")] = Plan.large,
) -> None:
    """Print which faces are found, and how long a picture takes on one core."""
    cv2.setNumThreads(1)
    try:
        detector = load_face_detector(face_detector)
        if isinstance(detector, YuNet):
            plan = Plan(long_side=long_side, small=small, large=large)
            detector = YuNet(WeightsStore().load(FACE_DETECTOR), plan)
    except PoseError as error:
        raise typer.BadParameter(str(error), param_hint="--face-detector") from None
    pictures = [empty_room(FIRST_SEED + i) for i in range(rooms)]
    wanted = [(p, d) for p, tilts in (*WANTED, *(SMALLER if smaller else ())) for d in tilts]
    table = Table("face, pixels", "tilt, degrees", "found", "lowest score", box=None, header_style="")
    others = 0
    for number in progress(len(wanted), "sizes and tilts"):
        row, more = measure_row(detector, pictures, *wanted[number])
        others += more
        table.add_row(
            *map(str, (row.pixels, row.degrees, f"{row.found} of {row.places}", f"{row.lowest:.2f}"))
        )
    seen, found, elsewhere = measure_rendered(detector, children)
    started = time.process_time()
    false = sum(len(detector.find(each, 0)) for each in pictures)
    milliseconds = 1000 * (time.process_time() - started) / len(pictures)
    console = Console(highlight=False, width=120)
    console.print(f"{detector.name} {detector.version}")
    console.print(table)
    console.print(f"rendered children: {found} of {seen} faces; {elsewhere} boxes elsewhere")
    console.print(f"boxes where no face is: {others} beside pasted faces, {false} in {rooms} empty rooms")
    console.print(f"an empty room, one turn: {milliseconds:.0f} ms of one core")


if __name__ == "__main__":
    typer.run(main)

"""Measure whether a network can identify redacted heads: `python -m pose.evaluation.reidentification`.

Each synthetic child appears many times, in other clothes, light, rooms and poses. A network is trained to
identify the children by some of their redacted heads and is tested on others, as in McPherson et al.
("Defeating image obfuscation with deep learning", 2016). Heads without redaction show that it can do this; a
Gaussian blur and a mosaic of mean colours show redactions that only look safe. A second network tries to
reconstruct the face.

The networks see all that a published picture shows of a head, including its outline. What is around the head
is black, as clothes are no face.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.evaluation.attack_networks import identification_accuracy, reconstruction_errors
from pose.evaluation.harness import print_report, progress
from pose.geometry.orientation import turns_for_step
from pose.geometry.view import View
from pose.privacy.place_head import place_head
from pose.privacy.redact import METHODS, redact
from pose.privacy.region import HeadNotPlaced
from pose.synthetic.picture import render_picture
from pose.synthetic.render import Rendering, project_keypoints, render
from pose.synthetic.scene import Scene

SIZE: Final = 64  # pixels; width and height of a head crop
PICTURE: Final = (1440, 1080)  # the picture from which the crop is cut
BLUR_SIGMA: Final = 45  # pixels of such a picture
_FIRST_SEED: Final = 300_000  # held out, and not used by other evaluations
_MIN_FACING: Final = 0.35  # cosine of the angle between face and camera below which a face is not visible
_FACE_KEYPOINTS: Final = [kp.NOSE, kp.LEFT_EYE, kp.RIGHT_EYE]
_BRIGHTNESS, _TINT = (0.75, 1.15), 0.04  # range of brightness, and deviation of colour, of the light

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class HeadCrops:
    """Crops of heads before redaction, upright.

    Attributes:
        images: (N, SIZE, SIZE, 3) uint8 RGB, including what is around each head.
        masks: (N, SIZE, SIZE) bool, the pixels that are redacted in a published picture.
        identities: (N,) int64.
        scales: (N,) pixels of the picture in one pixel of the crop.
    """

    images: Images
    masks: Masks
    identities: NDArray[np.int64]
    scales: NDArray[np.float64]

    def redacted(self, method: str) -> Images:
        """Return the redacted heads, black around; `method` is one of `REDACTIONS`."""
        crops = zip(self.images, self.masks, self.scales, strict=True)
        return np.stack([REDACTIONS[method](*crop) * crop[1][..., None] for crop in crops]).astype(np.uint8)


def _gaussian_blur(image: Images, mask: Masks, scale: float) -> Images:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), BLUR_SIGMA / scale, borderType=cv2.BORDER_REPLICATE))


def _mean_colours(image: Images, mask: Masks, scale: float) -> Images:
    small = cv2.resize(image, (4, 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_NEAREST))


REDACTIONS: Final[dict[str, Callable[[Images, Masks, float], Images]]] = {
    "none": lambda image, mask, scale: image,
    "Gaussian blur": _gaussian_blur,
    "mean colours": _mean_colours,
    **{m: (lambda image, mask, scale, method=m: redact(image, mask, method)) for m in METHODS},  # type: ignore[misc]
}


def head_crops(identity: int, count: int, first_seed: int) -> Iterator[tuple[Images, Masks, float]]:
    """Yield crop, mask and scale of heads of one child with a visible face, each from another scene."""
    seed = first_seed
    while count:
        posture = ("standing", "lying")[seed % 2]
        crop = _head_crop(seed, posture, identity)
        seed += 1
        if crop is not None:
            count -= 1
            yield crop


def _head_crop(seed: int, posture: str, identity: int) -> tuple[Images, Masks, float] | None:
    rendering = render(seed, posture, (120, 90), second_person=False, identity=identity)
    scene = rendering.scene
    outline = _outline(rendering) if _faces_camera(scene) else None
    if outline is None:
        return None
    low, high = outline.min(axis=0), outline.max(axis=0)
    side = float((high - low).max()) * 1.08
    scale = side / SIZE
    left, top = (low + high) / 2 - side / 2
    cropped = replace(scene, intrinsics=_crop_intrinsics(scene.intrinsics, left, top, side))
    rgb = render_picture(cropped, (SIZE, SIZE), seed, 0).rgb
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, np.rint((outline - (left, top)) / scale).astype(np.int32), 1)
    light = np.random.default_rng([seed, 17])
    colour = light.uniform(*_BRIGHTNESS) * (1 + light.normal(0, _TINT, 3))
    rgb = np.clip(rgb * colour, 0, 255).astype(np.uint8)
    turns = -turns_for_step(scene.step)
    return np.rot90(rgb, turns).copy(), np.rot90(mask, turns).astype(np.bool_), scale


def _faces_camera(scene: Scene) -> bool:
    frame, middle, _ = scene.people[0].head
    towards = scene.camera.position - middle
    (uv,), _ = scene.camera.project(middle[None])
    k = scene.camera.intrinsics
    margin = 0.08 * k.width
    inside = bool(((uv > margin) & (uv < (k.width - margin, k.height - margin))).all())
    return inside and float(frame[:, 2] @ towards / np.linalg.norm(towards)) > _MIN_FACING


def _outline(rendering: Rendering) -> NDArray[np.float64] | None:
    """Return the outline (N, 2) of the redacted head in pixels of the picture; None for a hidden face."""
    scene = rendering.scene
    uv, visible = project_keypoints(scene.people[0], scene, rendering.hits)
    if visible[_FACE_KEYPOINTS].sum() < 2:
        return None
    uv = (uv + 0.5) * PICTURE[0] / rendering.depthmap.width - 0.5
    (x0, y0), (x1, y1) = uv.min(axis=0).tolist(), uv.max(axis=0).tolist()
    child = Person(uv, np.where(visible, 0.95, 0.8), (x0, y0, x1, y1), 0.99)
    try:
        region = place_head(child, View.of(rendering.depthmap, PICTURE))
    except HeadNotPlaced:
        return None
    return region.outline.astype(np.float64) if len(region.outline) else None


def _crop_intrinsics(
    normalised: tuple[float, float, float, float], left: float, top: float, side: float
) -> tuple[float, float, float, float]:
    """Return normalised intrinsics of the square from (left, top) of the picture, `side` pixels wide."""
    fx, fy, cx, cy = np.array(normalised) * (*PICTURE, *PICTURE)
    # cy counts from the picture's lower edge.
    return fx / side, fy / side, (cx - left) / side, (cy + side - PICTURE[1] + top) / side


def sample_head_crops(people: int, count: int, first: int = 0) -> HeadCrops:
    """Return `count` heads of each of `people` children; another `first` gives other heads of theirs."""
    crops: list[tuple[Images, Masks, float]] = []
    identities: list[int] = []
    for identity in progress(people, f"{people * count} heads"):
        crops += head_crops(identity, count, _FIRST_SEED + 1000 * identity + first)
        identities += [identity] * count
    images, masks, scales = zip(*crops, strict=True)
    return HeadCrops(np.stack(images), np.stack(masks), np.array(identities), np.array(scales))


def measure(people: int, train_count: int, test_count: int, epochs: int) -> dict[str, Any]:
    """Return a record for `json.dumps`: accuracy and errors of both attacks on each redaction.

    Args:
        people: number of children.
        train_count, test_count: heads of each child to train on and to test on.
    """
    train = sample_head_crops(people, train_count)
    test = sample_head_crops(people, test_count, first=500)
    ways = {}
    for method in REDACTIONS:
        seen, unseen = train.redacted(method), test.redacted(method)
        named = identification_accuracy(seen, train.identities, unseen, test.identities, epochs)
        # Fewer epochs: with more the network overfits, and reconstructs the test images worse.
        errors = reconstruction_errors(
            seen, train.images, train.masks, unseen, test.images, test.masks, max(1, epochs // 5)
        )
        ways[method] = {"named": round(named, 4), **{name: round(value, 3) for name, value in errors.items()}}
    return {"people": people, "taught": len(train.images), "asked": len(test.images), "ways": ways}


def main(
    people: Annotated[int, typer.Option(min=2, max=500, help="Children.")] = 50,
    taught: Annotated[int, typer.Option(min=1, max=200, help="Heads of each child to train on.")] = 40,
    asked: Annotated[int, typer.Option(min=1, max=200, help="Heads of each child to test on.")] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Of the identifying network.")] = 30,
) -> None:
    """Measure how often a network identifies redacted heads and print the report as JSON."""
    started = time.perf_counter()
    report = measure(people, taught, asked, epochs)
    print_report({"chance": 1 / people, **report, "s": round(time.perf_counter() - started)})


if __name__ == "__main__":
    typer.run(main)

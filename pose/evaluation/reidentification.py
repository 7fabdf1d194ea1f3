"""Whether a network can still name who is under a cover: `python -m pose.evaluation.reidentification`.

Rendered children are met again and again, in other clothes, light, rooms and poses. A network learns who
is who from their covered heads and is asked about others, as McPherson et al. did ("Defeating image
obfuscation with deep learning", 2016). The uncovered heads show that it is able to; a Gaussian blur and a
mosaic of plain mean colours show what merely looks hidden. A second network tries to draw the face anew.

All that a published picture shows of a head counts, its outline too; what lies around the head does not,
since clothes are no face.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.evaluation.attack_networks import name_them, redraw_them
from pose.geometry.orientation import turns_for_step
from pose.geometry.view import View
from pose.privacy.place_head import place_head
from pose.privacy.redact import METHODS, redact
from pose.privacy.region import HeadNotPlaced
from pose.synthetic.picture import render_picture
from pose.synthetic.render import Rendering, project_keypoints, render
from pose.synthetic.scene import Scene

SIZE: Final = 64  # pixels on each side of a head's crop
PICTURE: Final = (1440, 1080)  # that the crop is cut from
BLUR_RADIUS: Final = 45  # sigma in pixels of such a picture
_FIRST_SEED: Final = 300_000  # held out, and not those of other evaluations
_FACING: Final = 0.35  # cosine between where the face looks and the camera: the face is seen
_FEATURES: Final = [kp.NOSE, kp.LEFT_EYE, kp.RIGHT_EYE]
_BRIGHTNESS, _TINT = (0.75, 1.15), 0.04  # how far light differs, and its colour

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Heads:
    """Heads as they are, before anything is covered, upright.

    Attributes:
        shown: (N, SIZE, SIZE, 3) uint8 RGB, with what is around each head.
        mask: (N, SIZE, SIZE) bool, what is covered in a published picture.
        who: (N,) int64.
        scale: (N,) pixels of the picture in one of the crop.
    """

    shown: Images
    mask: Masks
    who: NDArray[np.int64]
    scale: NDArray[np.float64]

    def hidden(self, how: str) -> Images:
        """The heads as a way of covering leaves them, black around; see `WAYS`."""
        each = zip(self.shown, self.mask, self.scale, strict=True)
        return np.stack([WAYS[how](*head) * head[1][..., None] for head in each]).astype(np.uint8)


def _blurred(shown: Images, mask: Masks, scale: float) -> Images:
    return np.asarray(cv2.GaussianBlur(shown, (0, 0), BLUR_RADIUS / scale, borderType=cv2.BORDER_REPLICATE))


def _mean_colours(shown: Images, mask: Masks, scale: float) -> Images:
    small = cv2.resize(shown, (4, 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, shown.shape[1::-1], interpolation=cv2.INTER_NEAREST))


WAYS: Final[dict[str, Callable[[Images, Masks, float], Images]]] = {
    "none": lambda shown, mask, scale: shown,
    "Gaussian blur": _blurred,
    "mean colours": _mean_colours,
    **{m: (lambda shown, mask, scale, method=m: redact(shown, mask, method)) for m in METHODS},  # type: ignore[misc]
}


def heads_of(looks: int, count: int, first_seed: int) -> Iterator[tuple[Images, Masks, float]]:
    """Heads of one child whose face is seen, each in a scene of its own: crop, mask and scale."""
    seed = first_seed
    while count:
        posture = ("standing", "lying")[seed % 2]
        found = _head(seed, posture, looks)
        seed += 1
        if found is not None:
            count -= 1
            yield found


def _head(seed: int, posture: str, looks: int) -> tuple[Images, Masks, float] | None:
    rendering = render(seed, posture, (120, 90), second_person=False, identity=looks)
    scene = rendering.scene
    outline = _outline(rendering) if _faces_the_camera(scene) else None
    if outline is None:
        return None
    low, high = outline.min(axis=0), outline.max(axis=0)
    side = float((high - low).max()) * 1.08
    scale = side / SIZE
    left, top = (low + high) / 2 - side / 2
    crop = replace(scene, intrinsics=_cropped(scene.intrinsics, left, top, side))
    rgb = render_picture(crop, (SIZE, SIZE), seed, 0).rgb
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, np.rint((outline - (left, top)) / scale).astype(np.int32), 1)
    light = np.random.default_rng([seed, 17])
    colour = light.uniform(*_BRIGHTNESS) * (1 + light.normal(0, _TINT, 3))
    rgb = np.clip(rgb * colour, 0, 255).astype(np.uint8)
    turns = -turns_for_step(scene.step)
    return np.rot90(rgb, turns).copy(), np.rot90(mask, turns).astype(np.bool_), scale


def _faces_the_camera(scene: Scene) -> bool:
    frame, middle, _ = scene.people[0].head
    towards = scene.camera.position - middle
    (uv,), _ = scene.camera.project(middle[None])
    k = scene.camera.intrinsics
    margin = 0.08 * k.width
    inside = bool(((uv > margin) & (uv < (k.width - margin, k.height - margin))).all())
    return inside and float(frame[:, 2] @ towards / np.linalg.norm(towards)) > _FACING


def _outline(rendering: Rendering) -> NDArray[np.float64] | None:
    """Of what is covered of the child's head, in pixels of the picture; None if something hides the face."""
    scene = rendering.scene
    uv, visible = project_keypoints(scene.people[0], scene, rendering.hits)
    if visible[_FEATURES].sum() < 2:
        return None
    uv = (uv + 0.5) * PICTURE[0] / rendering.depthmap.width - 0.5
    (x0, y0), (x1, y1) = uv.min(axis=0).tolist(), uv.max(axis=0).tolist()
    child = Person(uv, np.where(visible, 0.95, 0.8), (x0, y0, x1, y1), 0.99)
    try:
        region = place_head(child, View.of(rendering.depthmap, PICTURE))
    except HeadNotPlaced:
        return None
    return region.outline.astype(np.float64) if len(region.outline) else None


def _cropped(
    normalised: tuple[float, float, float, float], left: float, top: float, side: float
) -> tuple[float, float, float, float]:
    """Intrinsics of the part of a picture from (left, top), `side` pixels wide and high."""
    fx, fy, cx, cy = np.array(normalised) * (*PICTURE, *PICTURE)
    # cy counts from the picture's lower edge.
    return fx / side, fy / side, (cx - left) / side, (cy + side - PICTURE[1] + top) / side


def sample_heads(people: int, count: int, first: int = 0) -> Heads:
    """`count` heads of each of `people` children; other `first` give others of the same children."""
    shown, masks, who, scales = [], [], [], []
    for looks in track(range(people), f"{people * count} heads", console=Console(stderr=True)):
        for rgb, mask, scale in heads_of(looks, count, _FIRST_SEED + 1000 * looks + first):
            shown.append(rgb)
            masks.append(mask)
            who.append(looks)
            scales.append(scale)
    return Heads(np.stack(shown), np.stack(masks), np.array(who), np.array(scales))


def measure(people: int, taught: int, asked: int, epochs: int) -> dict[str, Any]:
    """What the networks make of each way of covering; shares and errors are of heads never seen before."""
    lessons, questions = sample_heads(people, taught), sample_heads(people, asked, first=500)
    ways = {}
    for how in WAYS:
        known, asked_of = lessons.hidden(how), questions.hidden(how)
        named = name_them(known, lessons.who, asked_of, questions.who, epochs)
        faces, truth = (lessons.shown, lessons.mask), (questions.shown, questions.mask)
        # Taught for longer it knows the lessons by heart, and draws other heads worse.
        undone = redraw_them(known, *faces, asked_of, *truth, max(1, epochs // 5))
        ways[how] = {"named": round(named, 4), **{name: round(error, 3) for name, error in undone.items()}}
    return {"people": people, "taught": len(lessons.who), "asked": len(questions.who), "ways": ways}


def main(
    people: Annotated[int, typer.Option(min=2, max=500)] = 50,
    taught: Annotated[int, typer.Option(min=1, max=200, help="Heads of each child to learn from.")] = 40,
    asked: Annotated[int, typer.Option(min=1, max=200, help="Heads of each child to name.")] = 20,
    epochs: Annotated[int, typer.Option(min=1)] = 30,
) -> None:
    """Measure how often a network names who is under a cover, and print it as JSON."""
    started = time.perf_counter()
    report = measure(people, taught, asked, epochs)
    print(json.dumps({"chance": 1 / people, **report, "s": round(time.perf_counter() - started)}, indent=1))


if __name__ == "__main__":
    typer.run(main)

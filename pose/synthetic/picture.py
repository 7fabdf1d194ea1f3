"""Render the RGB picture of a scene, with faces detailed enough to test redaction."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.scan.calibration import to_intrinsics
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.raycast import Camera, Hits, Shape, cast_rays
from pose.synthetic.scene import Scene

FloatArray = NDArray[np.float64]
Floats = NDArray[np.float32]

# RGB, from light to dark, after the Monk skin tone scale (Monk 2019).
_SKIN = (
    *((246, 237, 228), (243, 231, 219), (247, 234, 208), (234, 218, 186), (215, 189, 150)),
    *((160, 126, 86), (130, 92, 67), (96, 65, 52), (58, 49, 42), (41, 36, 32)),
)
_HAIR = ((28, 24, 22), (45, 32, 24), (80, 52, 33), (125, 88, 52), (190, 150, 95), (60, 60, 62))
_IRIS = ((70, 45, 30), (45, 30, 22), (80, 95, 90), (60, 85, 120))


@dataclass(frozen=True)
class Face:
    """Appearance of a face. Lengths and positions are in radii of the skull, from its centre.

    Attributes:
        brow, iris: RGB.
        lips: factor on green and blue; lower is redder.
        eyes: distance of each eye from the middle line; `eye` is their relative size.
        brows, brow_width: height and half the thickness.
        nostrils: distance of each from the middle line.
        mouth, mouth_width: height and half the width.
        mouth_open: half the height of the opening.
        marks: birthmarks: left, up and radius of each.
    """

    brow: tuple[int, int, int]
    lips: float
    iris: tuple[int, int, int]
    mouth_open: float
    eyes: float = 0.43
    eye: float = 1.0
    brows: float = 0.13
    brow_width: float = 0.045
    nostrils: float = 0.07
    mouth: float = -0.68
    mouth_width: float = 0.30
    marks: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered picture.

    Attributes:
        rgb: (H, W, 3) uint8, sensor orientation.
        face: (H, W) bool, pixels that show the front of a head below its hair, of all people.
        scene: the scene, with the camera of this picture.
        hits: the surface that each pixel sees.
    """

    rgb: NDArray[np.uint8]
    face: NDArray[np.bool_]
    scene: Scene
    hits: Hits


def render_picture(scene: Scene, size: tuple[int, int], seed: int, frame: int) -> Picture:
    """Render the picture of a scene; `size` is its width and height.

    Colours depend on the seed, noise on seed and frame. With `scene.identity`, skin, hair and face of the
    child depend on that. The view is that of the scene's camera, whatever the size of its depth map.
    """
    width, height = size
    camera = replace(scene.camera, intrinsics=to_intrinsics(scene.intrinsics, width, height))
    scene = replace(scene, camera=camera)
    hits = cast_rays(camera, scene.shapes)
    points = _points(camera, hits)

    scan_rng, noise_rng = np.random.default_rng([seed, 11]), np.random.default_rng([seed, 12, frame])
    colours = np.array(
        [_colour(shape, scan_rng, seed, scene.identity) for shape in scene.shapes] + [(70, 70, 75)],
        np.float32,
    )
    image = colours[hits.index]
    _paint_floor(image, points, hits, scene.shapes, scan_rng)
    face = np.zeros(hits.index.shape, np.bool_)
    for person in scene.people:
        face |= _paint_face(image, points, hits, scene, person, seed)
    image *= _light(camera, points, hits, scan_rng)[..., None]
    image += noise_rng.standard_normal(image.shape[:2])[..., None].astype(np.float32) * 2.5
    soft = cv2.GaussianBlur(image, (0, 0), 0.7)
    return Picture(np.clip(soft, 0, 255).astype(np.uint8), face, scene, hits)


def _points(camera: Camera, hits: Hits) -> Floats:
    """Return points of the scene (H, W, 3) float32; pixels that see nothing get a point far away."""
    across, up = (slope.astype(np.float32) for slope in camera.intrinsics.slopes())
    depth = np.where(np.isfinite(hits.depth), hits.depth, 20).astype(np.float32)
    local = np.stack([across * depth, up[:, None] * depth, -depth], axis=-1)
    return np.asarray(local @ camera.rotation.T.astype(np.float32) + camera.position.astype(np.float32))


def _light(camera: Camera, points: Floats, hits: Hits, scan_rng: np.random.Generator) -> Floats:
    """Return brightness (H, W): a lamp, light from above and ambient light."""
    across = np.gradient(points, axis=1)
    down = np.gradient(points, axis=0)
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-12
    towards = camera.position.astype(np.float32) - points
    normal *= np.sign((normal * towards).sum(axis=2, keepdims=True))
    lamp = camera.position + np.array(
        [scan_rng.normal(0, 1.2), scan_rng.uniform(0.3, 1.5), scan_rng.normal(0, 0.8)]
    )
    ray = lamp.astype(np.float32) - points
    ray /= np.linalg.norm(ray, axis=2, keepdims=True) + 1e-6
    lit = 0.50 + 0.45 * np.clip((normal * ray).sum(axis=2), 0, 1) + 0.10 * normal[..., 1]
    return np.asarray(cv2.GaussianBlur(lit.astype(np.float32), (0, 0), 1.2))


def _colour(
    shape: Shape, scan_rng: np.random.Generator, seed: int, identity: int | None
) -> tuple[float, ...]:
    if shape.owner >= 0 or shape.owner == -2:  # the same colours for all shapes of a person
        person_rng = np.random.default_rng([seed, 13, shape.owner + 5])
        skin, hair = (
            np.array(_SKIN[person_rng.integers(len(_SKIN))]),
            np.array(_HAIR[person_rng.integers(len(_HAIR))]),
        )
        if shape.owner == 0 and identity is not None:
            identity_rng = np.random.default_rng([identity, 13])
            skin, hair = (
                np.array(_SKIN[identity_rng.integers(len(_SKIN))]),
                np.array(_HAIR[identity_rng.integers(len(_HAIR))]),
            )
        clothes = {name: person_rng.uniform(30, 235, 3) for name in ("top", "bottom", "hat", "shoe")}
        return tuple({"hair": hair, **clothes}.get(shape.part, skin))
    base = np.random.default_rng([seed, 14, sum(shape.part.encode())]).uniform(60, 215)
    tint = scan_rng.normal(0, 14, 3)
    return tuple(np.clip(base + tint, 25, 245))


def _paint_floor(
    image: Floats, points: Floats, hits: Hits, shapes: list[Shape], scan_rng: np.random.Generator
) -> None:
    """Paint planks on the floor."""
    on_floor = hits.part_mask(shapes, "floor")
    width = scan_rng.uniform(0.08, 0.4)
    plank = np.floor(points[..., 0] / width)
    joint = np.abs(points[..., 0] / width - plank) < 0.02
    tone = 1 + 0.10 * np.sin(plank * 12.9898 + 4.1) + 0.02 * np.sin(points[..., 2] * 40 + plank)
    tone = np.where(joint, 0.7, tone).astype(np.float32)
    image[on_floor] *= tone[on_floor][:, None]


def _sample_face(seed: int, owner: int, identity: int | None) -> Face:
    """Return the face of a person."""
    person_rng = np.random.default_rng([seed, 15, owner])
    brow, lips, iris = (
        _HAIR[person_rng.integers(len(_HAIR))],
        person_rng.uniform(0.55, 0.8),
        _IRIS[person_rng.integers(4)],
    )
    mouth_open = person_rng.uniform(0.02, 0.09)
    if owner != 0 or identity is None:
        return Face(brow, lips, iris, mouth_open)
    identity_rng = np.random.default_rng([identity, 15])
    marks = identity_rng.uniform((-0.7, -0.8, 0.04), (0.7, 0.4, 0.09), (int(identity_rng.integers(0, 4)), 3))
    return Face(
        brow=_HAIR[identity_rng.integers(len(_HAIR))],
        lips=identity_rng.uniform(0.55, 0.8),
        iris=_IRIS[identity_rng.integers(len(_IRIS))],
        mouth_open=mouth_open,
        eyes=identity_rng.uniform(0.36, 0.50),
        eye=identity_rng.uniform(0.8, 1.25),
        brows=identity_rng.uniform(0.08, 0.20),
        brow_width=identity_rng.uniform(0.025, 0.075),
        nostrils=identity_rng.uniform(0.05, 0.11),
        mouth=identity_rng.uniform(-0.74, -0.62),
        mouth_width=identity_rng.uniform(0.20, 0.40),
        marks=tuple((float(left), float(up), float(size)) for left, up, size in marks),
    )


def _paint_face(
    image: Floats, points: Floats, hits: Hits, scene: Scene, person: SyntheticPerson, seed: int
) -> NDArray[np.bool_]:
    """Paint eyes, brows, nostrils, mouth and cheeks on a head; return the pixels of the face (H, W) bool."""
    skin_of_head = hits.part_mask(scene.shapes, "head", "ear") & hits.owner_mask(scene.shapes, person.owner)
    rows, columns = np.nonzero(skin_of_head)
    frame, middle, skull = person.head
    q = ((points[rows, columns] - middle) @ frame / skull).astype(np.float32)
    x, y, front = np.abs(q[:, 0]), q[:, 1], q[:, 2] > 0.1
    look = _sample_face(seed, person.owner, scene.identity)

    skin = image[rows, columns]
    paint = skin.copy()

    def ellipse(cx: float, cy: float, rx: float, ry: float, across: Floats = x) -> NDArray[np.bool_]:
        return np.asarray(front & (((across - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1))

    paint[ellipse(0.52, -0.42, 0.22, 0.18)] *= (1.05, 0.93, 0.92)  # cheeks
    for left, up, size in look.marks:
        paint[ellipse(left, up, size, size, q[:, 0])] *= (0.55, 0.48, 0.48)
    paint[ellipse(look.eyes, -0.10, 0.22 * look.eye, 0.13 * look.eye)] *= 0.82  # eye sockets
    paint[ellipse(look.eyes, -0.10, 0.17 * look.eye, 0.085 * look.eye)] = (238, 236, 232)
    paint[ellipse(look.eyes, -0.10, 0.085 * look.eye, 0.085 * look.eye)] = look.iris
    paint[ellipse(look.eyes, -0.10, 0.04 * look.eye, 0.045 * look.eye)] = (8, 8, 8)
    arch = y - look.brows + 0.5 * (x - look.eyes) ** 2
    paint[front & (np.abs(x - look.eyes) < 0.24) & (np.abs(arch) < look.brow_width)] = look.brow
    paint[ellipse(look.nostrils, -0.47, 0.04, 0.03)] *= 0.35
    paint[ellipse(0.0, look.mouth, look.mouth_width, 0.05 + look.mouth_open)] *= (1.05, look.lips, look.lips)
    paint[ellipse(0.0, look.mouth, look.mouth_width - 0.05, look.mouth_open)] *= 0.35
    image[rows, columns] = paint
    face = np.zeros(hits.index.shape, np.bool_)
    shown = front & (y < 0.55) & (x < 0.95)
    face[rows[shown], columns[shown]] = True
    return face

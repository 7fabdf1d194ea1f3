"""The RGB picture of a scene: enough of a face that there is something to hide."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pose.scan.calibration import to_intrinsics
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.raycast import Camera, Hits, Shape, cast
from pose.synthetic.scene import Scene

FloatArray = NDArray[np.float64]
Floats = NDArray[np.float32]

# From light to dark, after the Monk skin tone scale (Monk 2019), RGB.
_SKIN = (
    *((246, 237, 228), (243, 231, 219), (247, 234, 208), (234, 218, 186), (215, 189, 150)),
    *((160, 126, 86), (130, 92, 67), (96, 65, 52), (58, 49, 42), (41, 36, 32)),
)
_HAIR = ((28, 24, 22), (45, 32, 24), (80, 52, 33), (125, 88, 52), (190, 150, 95), (60, 60, 62))
_IRIS = ((70, 45, 30), (45, 30, 22), (80, 95, 90), (60, 85, 120))


@dataclass(frozen=True)
class Face:
    """What a face is painted with; lengths and places in radii of the skull, from its middle.

    Attributes:
        brow, iris: RGB.
        lips: how red they are, lower is redder.
        eyes: how far each lies from the middle; `eye` their size against the usual.
        brows, brow_width: their height and half their thickness.
        nostrils: how far each lies from the middle.
        mouth, mouth_width: its height and half its width.
        marks: birthmarks: left, up and radius of each.
    """

    brow: tuple[int, int, int]
    lips: float
    iris: tuple[int, int, int]
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
        face: (H, W) bool, pixels that show a face: the front of a head below its hair, of all people.
        scene: the scene with the camera of this picture; `hits` what each pixel sees.
    """

    rgb: NDArray[np.uint8]
    face: NDArray[np.bool_]
    scene: Scene
    hits: Hits


def render_picture(scene: Scene, size: tuple[int, int], seed: int, frame: int) -> Picture:
    """Renders the picture of a scene, `size` wide and high.

    Colours depend on the seed alone, noise on the frame as well; skin, hair and face of a child with `looks`
    on those. The view is that of the scene's camera, whatever the size of its depth map.
    """
    width, height = size
    camera = replace(scene.camera, intrinsics=to_intrinsics(scene.intrinsics, width, height))
    scene = replace(scene, camera=camera)
    hits = cast(camera, scene.shapes)
    points = _points(camera, hits)

    scan, grain = np.random.default_rng([seed, 11]), np.random.default_rng([seed, 12, frame])
    colours = np.array(
        [_colour(shape, scan, seed, scene.looks) for shape in scene.shapes] + [(70, 70, 75)], np.float32
    )
    image = colours[hits.index]
    _paint_floor(image, points, hits, scene.shapes, scan)
    face = np.zeros(hits.index.shape, np.bool_)
    for person in scene.people:
        face |= _paint_face(image, points, hits, scene, person, seed)
    image *= _light(camera, points, hits, scan)[..., None]
    image += grain.standard_normal(image.shape[:2])[..., None].astype(np.float32) * 2.5
    soft = cv2.GaussianBlur(image, (0, 0), 0.7)
    return Picture(np.clip(soft, 0, 255).astype(np.uint8), face, scene, hits)


def _points(camera: Camera, hits: Hits) -> Floats:
    """World points (H, W, 3); pixels that see nothing are put far away."""
    across, up = (slope.astype(np.float32) for slope in camera.intrinsics.slopes())
    depth = np.where(np.isfinite(hits.depth), hits.depth, 20).astype(np.float32)
    local = np.stack([across * depth, up[:, None] * depth, -depth], axis=-1)
    return np.asarray(local @ camera.rotation.T.astype(np.float32) + camera.position.astype(np.float32))


def _light(camera: Camera, points: Floats, hits: Hits, scan: np.random.Generator) -> Floats:
    """Brightness (H, W): a lamp, the sky and a little of everything."""
    across = np.gradient(points, axis=1)
    down = np.gradient(points, axis=0)
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-12
    towards = camera.position.astype(np.float32) - points
    normal *= np.sign((normal * towards).sum(axis=2, keepdims=True))
    lamp = camera.position + np.array([scan.normal(0, 1.2), scan.uniform(0.3, 1.5), scan.normal(0, 0.8)])
    ray = lamp.astype(np.float32) - points
    ray /= np.linalg.norm(ray, axis=2, keepdims=True) + 1e-6
    lit = 0.50 + 0.45 * np.clip((normal * ray).sum(axis=2), 0, 1) + 0.10 * normal[..., 1]
    return np.asarray(cv2.GaussianBlur(lit.astype(np.float32), (0, 0), 1.2))


def _colour(shape: Shape, scan: np.random.Generator, seed: int, looks: int | None) -> tuple[float, ...]:
    if shape.owner >= 0 or shape.owner == -2:  # the same for all shapes of one person
        own = np.random.default_rng([seed, 13, shape.owner + 5])
        skin, hair = np.array(_SKIN[own.integers(len(_SKIN))]), np.array(_HAIR[own.integers(len(_HAIR))])
        if shape.owner == 0 and looks is not None:
            who = np.random.default_rng([looks, 13])
            skin, hair = np.array(_SKIN[who.integers(len(_SKIN))]), np.array(_HAIR[who.integers(len(_HAIR))])
        clothes = {name: own.uniform(30, 235, 3) for name in ("top", "bottom", "hat", "shoe")}
        return tuple({"hair": hair, **clothes}.get(shape.part, skin))
    base = np.random.default_rng([seed, 14, sum(shape.part.encode())]).uniform(60, 215)
    tint = scan.normal(0, 14, 3)
    return tuple(np.clip(base + tint, 25, 245))


def _paint_floor(
    image: Floats, points: Floats, hits: Hits, shapes: list[Shape], scan: np.random.Generator
) -> None:
    """Planks or tiles, so that a floor looks like one."""
    on_floor = np.array([s.part == "floor" for s in shapes] + [False])[hits.index]
    width = scan.uniform(0.08, 0.4)
    plank = np.floor(points[..., 0] / width)
    joint = np.abs(points[..., 0] / width - plank) < 0.02
    tone = 1 + 0.10 * np.sin(plank * 12.9898 + 4.1) + 0.02 * np.sin(points[..., 2] * 40 + plank)
    tone = np.where(joint, 0.7, tone).astype(np.float32)
    image[on_floor] *= tone[on_floor][:, None]


def _face(seed: int, owner: int, looks: int | None) -> tuple[Face, float]:
    """A person's face, and how far its mouth is open."""
    own = np.random.default_rng([seed, 15, owner])
    brow, lips, iris = _HAIR[own.integers(len(_HAIR))], own.uniform(0.55, 0.8), _IRIS[own.integers(4)]
    open_mouth = own.uniform(0.02, 0.09)
    if owner != 0 or looks is None:
        return Face(brow, lips, iris), open_mouth
    who = np.random.default_rng([looks, 15])
    marks = who.uniform((-0.7, -0.8, 0.04), (0.7, 0.4, 0.09), (int(who.integers(0, 4)), 3))
    face = Face(
        brow=_HAIR[who.integers(len(_HAIR))],
        lips=who.uniform(0.55, 0.8),
        iris=_IRIS[who.integers(len(_IRIS))],
        eyes=who.uniform(0.36, 0.50),
        eye=who.uniform(0.8, 1.25),
        brows=who.uniform(0.08, 0.20),
        brow_width=who.uniform(0.025, 0.075),
        nostrils=who.uniform(0.05, 0.11),
        mouth=who.uniform(-0.74, -0.62),
        mouth_width=who.uniform(0.20, 0.40),
        marks=tuple((float(left), float(up), float(size)) for left, up, size in marks),
    )
    return face, open_mouth


def _paint_face(
    image: Floats, points: Floats, hits: Hits, scene: Scene, person: SyntheticPerson, seed: int
) -> NDArray[np.bool_]:
    """Eyes, brows, nostrils, mouth and cheeks on the front of a head; gives the pixels of the face."""
    owner = person.shapes[0].owner
    of_head = np.array([s.part in ("head", "ear") and s.owner == owner for s in scene.shapes] + [False])
    rows, columns = np.nonzero(of_head[hits.index])
    frame, middle, skull = person.head
    q = ((points[rows, columns] - middle) @ frame / skull).astype(np.float32)
    x, y, front = np.abs(q[:, 0]), q[:, 1], q[:, 2] > 0.1
    own, open_mouth = _face(seed, owner, scene.looks)

    skin = image[rows, columns]
    paint = skin.copy()

    def ellipse(cx: float, cy: float, rx: float, ry: float, across: Floats = x) -> NDArray[np.bool_]:
        return np.asarray(front & (((across - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1))

    paint[ellipse(0.52, -0.42, 0.22, 0.18)] *= (1.05, 0.93, 0.92)  # cheeks
    for left, up, size in own.marks:
        paint[ellipse(left, up, size, size, q[:, 0])] *= (0.55, 0.48, 0.48)
    paint[ellipse(own.eyes, -0.10, 0.22 * own.eye, 0.13 * own.eye)] *= 0.82  # eye sockets
    paint[ellipse(own.eyes, -0.10, 0.17 * own.eye, 0.085 * own.eye)] = (238, 236, 232)
    paint[ellipse(own.eyes, -0.10, 0.085 * own.eye, 0.085 * own.eye)] = own.iris
    paint[ellipse(own.eyes, -0.10, 0.04 * own.eye, 0.045 * own.eye)] = (8, 8, 8)
    arch = y - own.brows + 0.5 * (x - own.eyes) ** 2
    paint[front & (np.abs(x - own.eyes) < 0.24) & (np.abs(arch) < own.brow_width)] = own.brow
    paint[ellipse(own.nostrils, -0.47, 0.04, 0.03)] *= 0.35
    paint[ellipse(0.0, own.mouth, own.mouth_width, 0.05 + open_mouth)] *= (1.05, own.lips, own.lips)
    paint[ellipse(0.0, own.mouth, own.mouth_width - 0.05, open_mouth)] *= 0.35
    image[rows, columns] = paint
    face = np.zeros(hits.index.shape, np.bool_)
    shown = front & (y < 0.55) & (x < 0.95)
    face[rows[shown], columns[shown]] = True
    return face

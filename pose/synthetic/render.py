"""Render the depth map of a seed, with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.raycast import Hits, cast_rays
from pose.synthetic.scene import Scene, sample_scene
from pose.synthetic.sensor import simulate_sensor

FloatArray = NDArray[np.float64]
FIRST_TRAINING_SEED: Final = 1_000_000  # lower seeds are held out from training


@dataclass(frozen=True, eq=False)
class Rendering:
    """A depth map and its ground truth.

    Attributes:
        depthmap: sensor orientation; its world is the scene's, with the floor at y = 0.
        hits: the surface that each pixel of the depth map sees; `hits.index` counts `scene.shapes`.
    """

    scene: Scene
    depthmap: DepthMap
    hits: Hits

    def keypoints(self, person: SyntheticPerson) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Return keypoints (17, 2) in pixels of the depth map, and (17,) bool which are visible."""
        return project_keypoints(person, self.scene, self.hits)


def render(
    seed: int,
    posture: str,
    size: tuple[int, int] = (240, 180),
    *,
    frame: int = 0,
    careful: bool = True,
    second_person: bool | None = None,
    identity: int | None = None,
    roll: float = 0.0,
    varied: bool = False,
) -> Rendering:
    """Render a frame of the scan with this seed. The same arguments give the same bytes.

    Arguments and errors are those of `sample_scene`.

    >>> render(1, "standing", (240, 180)).depthmap.depth.shape
    (180, 240)
    """
    scene = sample_scene(
        seed,
        posture,
        size,
        frame=frame,
        careful=careful,
        second_person=second_person,
        identity=identity,
        roll=roll,
        varied=varied,
    )
    hits = cast_rays(scene.camera, scene.shapes)
    scan_rng, frame_rng = np.random.default_rng([seed, 7]), np.random.default_rng([seed, 8, frame])
    depth, confidence = simulate_sensor(hits, scene.shapes, scan_rng, frame_rng, careful=careful)
    camera = scene.camera
    depthmap = DepthMap(depth, confidence, camera.intrinsics, camera.rotation, camera.position, True)
    return Rendering(scene, depthmap, hits)


def project_keypoints(
    person: SyntheticPerson, scene: Scene, hits: Hits
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Project a person's joints and tell which are visible.

    A keypoint is visible if it lies in the picture, the surface at its pixel belongs to the person, and the
    joint is within `max_joint_depths` of that surface.

    Args:
        scene: its camera decides whether these are pixels of the depth map or of the picture.
        hits: the surface that each pixel of that camera sees.

    Returns:
        keypoints (17, 2) float64 as u and v, also outside the picture, and (17,) bool which are visible.
    """
    uv, depth = scene.camera.project(person.joints)
    height, width = hits.depth.shape
    column, row = np.rint(uv[:, 0]), np.rint(uv[:, 1])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0.05)
    c, r = (np.where(inside, value, 0).astype(int) for value in (column, row))
    own = hits.owner_mask(scene.shapes, person.owner)[r, c]
    near = np.abs(depth - hits.depth[r, c]) < person.max_joint_depths
    return uv, inside & own & near

"""From a seed to a depth map with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose.geometry.depthmap import DepthMap
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.raycast import Hits, cast
from pose.synthetic.scene import Scene, sample_scene
from pose.synthetic.sensor import sense

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rendering:
    """A depth map and what is true in it.

    Attributes:
        depthmap: in the world's frame of the scene (floor at y = 0), sensor orientation.
        hits: what each pixel of the depth map sees; indices into `scene.shapes`.
    """

    scene: Scene
    depthmap: DepthMap
    hits: Hits

    def keypoints(self, person: SyntheticPerson) -> tuple[FloatArray, NDArray[np.bool_]]:
        """(17, 2) keypoints in pixels of the depth map, and (17,) which of them are seen."""
        return project_keypoints(person, self.scene, self.hits)


def render(
    seed: int,
    posture: str,
    size: tuple[int, int] = (240, 180),
    *,
    frame: int = 0,
    careful: bool = True,
    second_person: bool | None = None,
    looks: int | None = None,
) -> Rendering:
    """Renders a frame of the scan with this seed. The same arguments give the same bytes.

    The arguments and errors are those of `sample_scene`.
    """
    scene = sample_scene(
        seed, posture, size, frame=frame, careful=careful, second_person=second_person, looks=looks
    )
    hits = cast(scene.camera, scene.shapes)
    of_scan, of_frame = np.random.default_rng([seed, 7]), np.random.default_rng([seed, 8, frame])
    depth, confidence = sense(hits, scene.shapes, of_scan, of_frame, careful=careful)
    camera = scene.camera
    depthmap = DepthMap(depth, confidence, camera.intrinsics, camera.rotation, camera.position, True)
    return Rendering(scene, depthmap, hits)


def project_keypoints(
    person: SyntheticPerson, scene: Scene, hits: Hits
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Where a person's keypoints lie in the picture, and which of them are seen.

    A keypoint is seen if it lies in the picture and the surface at its pixel is the person's own, no
    farther from the joint than flesh and clothes are thick there.

    Args:
        scene: its camera decides whose pixels these are: the depth map's or the picture's.
        hits: what that camera's pixels see.

    Returns:
        (17, 2) float64 u and v, also of keypoints outside the picture, and (17,) bool.
    """
    uv, depth = scene.camera.project(person.joints)
    height, width = hits.depth.shape
    column, row = np.rint(uv[:, 0]), np.rint(uv[:, 1])
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0.05)
    c, r = (np.where(inside, value, 0).astype(int) for value in (column, row))
    owners = np.array([shape.owner for shape in scene.shapes] + [-1])
    own = owners[hits.index[r, c]] == person.shapes[0].owner
    near = np.abs(depth - hits.depth[r, c]) < person.radii
    return uv, inside & own & near


# Seeds below this are held out: no training ever sees them.
FIRST_TRAINING_SEED: Final = 1_000_000

"""What the stature network is told of a body: its crops, and figures of its skeleton."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.lifting.anatomy import fit_build
from pose.lifting.skeleton import Skeleton
from pose.stature.crop import BODY_GRID, HEAD_GRID, Axes, FloatArray, crop

UP: Final = np.array([0.0, 1.0, 0.0])
_EYES_TO_CROWN: Final = 1.15  # in half heights of the head
_MAX_OUTSIDE: Final = 20.0  # pixels: a first guess farther outside the depth map is too far off
# Metres around a point just below the crown, in which the surface of the head is looked for.
_WINDOW_ALONG: Final = np.linspace(-0.12, -0.01, 12)
_WINDOW_ACROSS: Final = np.linspace(-0.05, 0.05, 11)
_NEAREST: Final = 0.1  # metres from the camera
_HEAD_DEPTH: Final = 0.15
_MIN_PIXELS: Final = 10
# The head around its crown: half the edge of the window, the distance from the axis, and that along the view.
_HEAD_AROUND: Final = 0.10
_HEAD_RADIUS: Final = 0.14
_HEAD_SPAN: Final = 0.2
_STRAY: Final = 4  # pixels that may be higher than the surface of the head
_TRUNK_AND_LIMBS: Final = tuple(range(kp.LEFT_SHOULDER, kp.COUNT))  # no eyes: models differ most in these
_SEGMENTS: Final = (
    (kp.LEFT_HIP, kp.LEFT_KNEE), (kp.RIGHT_HIP, kp.RIGHT_KNEE),
    (kp.LEFT_KNEE, kp.LEFT_ANKLE), (kp.RIGHT_KNEE, kp.RIGHT_ANKLE),
    (kp.LEFT_SHOULDER, kp.LEFT_HIP), (kp.RIGHT_SHOULDER, kp.RIGHT_HIP),
)  # fmt: skip
FEATURES: Final = 67
_ANKLES: Final = [6, 7]  # places of the heights of the ankles among the last features


@dataclass(frozen=True, eq=False)
class BodyView:
    """A person whose stature is wanted.

    Attributes:
        depthmap: shows the person.
        skeleton: lifted with the method "inside".
        lying: whether the child lies.
        joints: (17, 3) metres in the world of the depth map.
        along: (3,) unit vector from the feet to the head: upwards, or along the trunk of a child who lies.
    """

    depthmap: DepthMap
    skeleton: Skeleton
    lying: bool
    joints: FloatArray
    along: FloatArray

    @classmethod
    def of(cls, depthmap: DepthMap, skeleton: Skeleton, lying: bool) -> BodyView | None:
        """Return the body of a skeleton; None if no axis can be told, or no height of one who stands."""
        if not skeleton.measured or (skeleton.floor is None and not lying):
            return None
        joints = skeleton.joints + np.array([0.0, skeleton.floor or 0.0, 0.0])
        along = UP
        if lying:
            trunk = joints[[kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER]].mean(0)
            trunk = trunk - joints[[kp.LEFT_HIP, kp.RIGHT_HIP]].mean(0)
            trunk[1] = 0.0
            length = float(np.linalg.norm(trunk))
            if length < 0.05:
                return None
            along = trunk / length
        return cls(depthmap, skeleton, lying, joints, along)

    def first_centre(self) -> FloatArray | None:
        """Return about where the crown is (3,), from the keypoints of the head; None if none was observed."""
        seen = [joint for joint in kp.HEAD if self.skeleton.observed[joint]]
        if not seen:
            return None
        head = np.median(self.joints[seen], axis=0)
        build = fit_build(self.joints, self.skeleton.observed)
        return np.asarray(head + _EYES_TO_CROWN * build["head_height"] * self.along)

    def on_surface(self, centre: FloatArray) -> FloatArray | None:
        """Return a point near the crown (3,) on its ray, at the depth of the surface of the head below it.

        None if the point lies outside the depth map or the camera looks along the body.
        """
        depthmap = self.depthmap
        axes = Axes.seen_from(depthmap.translation, centre, self.along)
        if axes is None or not self.shows(centre, _MAX_OUTSIDE):
            return None
        u, v, depth = (float(each) for each in depthmap.project(centre))
        points = (
            centre + _WINDOW_ALONG[:, None, None] * axes.along + _WINDOW_ACROSS[None, :, None] * axes.across
        )
        columns, rows, _ = depthmap.project(points)
        c, r = np.rint(columns), np.rint(rows)
        inside = (c > -1) & (c < depthmap.width) & (r > -1) & (r < depthmap.height)
        found = depthmap.depth[r[inside].astype(np.intp), c[inside].astype(np.intp)]
        found = found[(found > 0) & (np.abs(found - depth) < _HEAD_DEPTH)]
        if found.size >= _MIN_PIXELS:
            depth = float(np.median(found))
        return depthmap.unproject(u, v, depth)

    def shows(self, point: FloatArray, margin: float = 0.0) -> bool:
        """Return whether a point (3,) is in the depth map, or at most `margin` pixels outside it."""
        u, v, depth = (float(each) for each in self.depthmap.project(point))
        columns, rows = self.depthmap.width - 1, self.depthmap.height - 1
        inside = -margin <= u <= columns + margin and -margin <= v <= rows + margin
        return depth > _NEAREST and inside

    def unseen(self, crown: FloatArray) -> float:
        """Return by how many metres a crown (3,) is above all that was measured of the head, 0 if it is not.

        Two things look alike: hair that returns no light, and a strip that the phone loses at the edge.
        """
        depthmap = self.depthmap
        if not self.shows(crown, _MAX_OUTSIDE):
            return 0.0
        u, v, ahead = (float(each) for each in depthmap.project(crown))
        around = depthmap.intrinsics.fx / ahead * _HEAD_AROUND
        rows = np.arange(max(int(v - around), 0), min(int(v + around + 1), depthmap.height))
        columns = np.arange(max(int(u - around), 0), min(int(u + around + 1), depthmap.width))
        row, column = np.meshgrid(rows, columns, indexing="ij")
        depth = depthmap.depth[row, column].astype(np.float64)
        near = (depth > 0) & (np.abs(depth - ahead) < _HEAD_SPAN)
        points = depthmap.unproject(column[near], row[near], depth[near]) - crown
        up = points @ self.along
        up = up[np.linalg.norm(points - up[:, None] * self.along, axis=1) < _HEAD_RADIUS]
        if up.size <= _STRAY:
            return 0.0
        return max(0.0, -float(np.sort(up)[-1 - _STRAY]))

    def rest(self, centre: FloatArray) -> float:
        """Return the metres from the soles to a point near the crown (3,), as far as the skeleton tells.

        Standing: its height above the floor. Lying: the length of the chain of joints to the ankles.
        """
        if not self.lying:
            return float(centre[1]) - float(self.skeleton.floor or 0.0)
        shoulders, hips = (self.joints[list(pair)].mean(0) for pair in (kp.TORSO[:2], kp.TORSO[2:]))
        legs = [np.linalg.norm(self.joints[a] - self.joints[b]) for a, b in _SEGMENTS[:4]]
        trunk = float(np.linalg.norm(shoulders - hips))
        return float((centre - shoulders) @ self.along) + trunk + float(sum(legs)) / 2

    def inputs(
        self, centre: FloatArray
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
        """Return the crops of head (5, 40, 40) and body (5, 72, 36), and the features (67,), all float32.

        None if the camera looks along the body.

        Args:
            centre: (3,) world point near the crown, from `on_surface`.
        """
        axes = Axes.seen_from(self.depthmap.translation, centre, self.along)
        if axes is None:
            return None
        hips = self.joints[list(kp.TORSO[2:])].mean(0)
        level = float(hips[1]) if self.lying else float(self.skeleton.floor or 0.0)
        head = crop(self.depthmap, centre, axes, HEAD_GRID, float(centre[1]))
        body = crop(self.depthmap, centre, axes, BODY_GRID, level)
        return head, body, self._features(centre, axes, level)

    def _features(self, centre: FloatArray, axes: Axes, level: float) -> NDArray[np.float32]:
        limbs = list(_TRUNK_AND_LIMBS)
        places = axes.components(self.joints[limbs] - centre)
        observed = self.skeleton.observed
        lengths = [float(np.linalg.norm(self.joints[a] - self.joints[b])) for a, b in _SEGMENTS]
        view = centre - self.depthmap.translation
        distance = float(np.linalg.norm(view))
        others = (
            float(self.lying),
            self.rest(centre),
            fit_build(self.joints, observed).stature,
            float(centre[1]) - level,
            distance,
            self.depthmap.intrinsics.fx / distance / 200,
            *(self.joints[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE], 1] - level).tolist(),
            *(axes.components(view) / distance).tolist()[::2],
            float(axes.away[1]),
            float(self.depthmap.rotation[1, 2]),
            self.depthmap.missing,
        )
        return np.concatenate([places.ravel(), observed[limbs], lengths, others]).astype(np.float32)


def mirrored(
    head: NDArray[np.float32], body: NDArray[np.float32], features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the inputs of the mirror image: left and right exchanged.

    Arrays are as of `BodyView.inputs`, with any number of axes before.
    """
    count = len(_TRUNK_AND_LIMBS)
    swapped = np.arange(count) ^ 1  # joints come in pairs, the left one first
    ends = np.cumsum([3 * count, count, len(_SEGMENTS)])
    places, observed, lengths, others = np.split(features, ends, axis=-1)
    places = places.reshape(*places.shape[:-1], count, 3)[..., swapped, :] * np.array([1, -1, 1], np.float32)
    others = others.copy()
    others[..., _ANKLES] = others[..., _ANKLES[::-1]]
    pairs = np.arange(len(_SEGMENTS)) ^ 1
    parts = (places.reshape(*features.shape[:-1], -1), observed[..., swapped], lengths[..., pairs], others)
    return (
        np.ascontiguousarray(head[..., ::-1]),
        np.ascontiguousarray(body[..., ::-1]),
        np.concatenate(parts, axis=-1),
    )

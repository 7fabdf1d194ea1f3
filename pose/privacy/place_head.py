"""Where the heads are in a picture: keypoints and depth together.

A head is taken as a ball of the size that fits the body, at the place and depth of the head's keypoints. The
region is the convex hull of the ball, of the keypoints with a margin, and of what the depth map shows
nearby of hair and hat. So it has no holes where there is no depth, and it is the same from all sides.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.view import View
from pose.lifting.anatomy import Build, fit_build
from pose.lifting.surface import SurfaceDepth, surface_depth
from pose.privacy import head_depth
from pose.privacy.region import HeadNotPlaced, HeadRegion, PlacedBy, disc, hull

# The ball that holds a head with its hair, in halves of the head's height, and a little more.
_BALL: Final = 1.20
_MORE: Final = 0.006  # metres
_ADULT: Final = 1.75  # a head without a body is taken for a large one,
_HALFGROWN: Final = 1.30  # and for one of a middle size where it may well be none

# In head radii.
_MARGIN: Final = 0.6  # around each keypoint of the head
_STRAY: Final = 2.2  # a keypoint farther than this from the others is not the head's
_MISPLACED: Final = 3.0  # a head farther than this from where the trunk says does not belong to it
_UNSURE: Final = 1.5  # the ball grows by this where only the trunk tells where the head is
_ABOVE_SHOULDERS: Final = 0.40  # trunk lengths from the shoulders' middle to the head's

# How much each keypoint tells of the head's middle: ears lie beside it, the nose in front.
_WEIGHT: Final = np.array([0.4, 0.6, 0.6, 1.0, 1.0])
_HEAD: Final = np.array(kp.HEAD)
_SHOULDERS: Final = np.array([kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER])
_TRUNK: Final = np.array(kp.TORSO)
_HIPS: Final = np.array([kp.LEFT_HIP, kp.RIGHT_HIP])

MIN_SCORE: Final = 0.1  # a keypoint below is not trusted
_SURE: Final = 0.6  # keypoints of a head score more, on the mean, unless the network guesses
_DOUBTFUL: Final = 0.65  # a head whose keypoints score less than this share of the trunk's is not sure
_UPPER: Final = 0.55  # nor is an upper half whose keypoints score less than this share of the hips'
_MIN_OF_MEAN: Final = 0.3  # nor one far below its person's others
_HEAD_TO_SHOULDERS: Final = 0.35  # metres of depth between them that cannot be exceeded


def head_radius(build: Build) -> float:
    """Radius in metres of a ball that holds the head and hair of someone of this build."""
    return _BALL * build["head_height"] + _MORE


def place_head(person: Person, view: View, *, sure: bool = True) -> HeadRegion:
    """Return the region of one person's head.

    Args:
        person: with keypoints in pixels of the picture.
        view: the frame's picture, by its camera, and its depth map.
        sure: whether the person counts. For a low-confidence detection each keypoint is trusted, and the
            region is the ball alone: what the depth map shows around it need not be hair.

    Raises:
        HeadNotPlaced: it is not certain where the head is.
    """
    depthmap, at = view.depthmap, view.to_depth(person.keypoints)
    least = MIN_SCORE if sure else np.finfo(float).tiny
    trusted = person.scores >= max(least, _MIN_OF_MEAN * person.score)
    if _is_outside(person.keypoints, trusted, view.picture_size):
        u, v = person.keypoints[_HEAD].mean(axis=0).tolist()
        return HeadRegion((u, v), 0.0, np.empty((0, 2), np.int32), PlacedBy.OUTSIDE)
    found = surface_depth(depthmap, at, np.where(trusted, person.scores, 0.0))
    if not found.observed[trusted].any():
        raise HeadNotPlaced("no depth at the person, so the size of the head is not known")

    pixels_per_metre = depthmap.intrinsics.fx / found.depth  # (17,) of the depth map
    points = np.column_stack((at / pixels_per_metre[:, None], found.depth))
    build = fit_build(points, found.observed & trusted, default=_ADULT if sure else _HALFGROWN)
    radius = head_radius(build)
    depth = _head_depth(found, trusted)
    # The ball's radius in depth pixels, at its middle: the skin is nearer.
    reach = radius * depthmap.intrinsics.fx / (depth + 0.7 * build["head_depth"])

    predicted = _above_trunk(at, trusted)
    centre, members, strays = _middle(at, person.scores, trusted, reach)
    placed_by = PlacedBy.HEAD
    if centre is None:
        if predicted is None:
            raise HeadNotPlaced("neither the head nor the trunk is seen well enough")
        centre, reach, placed_by = predicted, reach * _UNSURE, PlacedBy.TRUNK
    elif predicted is not None and np.linalg.norm(centre - predicted) > _MISPLACED * reach:
        raise HeadNotPlaced("head and trunk do not fit together")

    guessed, doubted = person.scores[_HEAD].mean() < _SURE, False
    if placed_by is PlacedBy.HEAD:
        doubted = _is_doubtful(person.scores, lies_apart=bool(sure and guessed and strays))
    parts = [disc(centre, reach), *(disc(point, _MARGIN * reach) for point in at[[*members, *strays]])]
    shown, hole = True, np.empty((0, 2))
    if sure:
        hair, shown = head_depth.hair(depthmap, centre, reach, depth, radius, at, trusted)
        parts.append(hair)
    if sure and guessed:
        metre = depthmap.intrinsics.fx / depth
        hole = head_depth.hole(depthmap, centre, reach, metre, _upwards(at, trusted))
        parts.append(hole)
    if predicted is not None and (doubted or not shown):
        parts.append(disc(predicted, reach))
    elif doubted:
        parts.append(disc(centre, _UNSURE * reach))
    middle, edge = view.to_picture(np.array([centre, centre + np.array([reach, 0.0])]))
    outline = hull(view.to_picture(np.concatenate(parts)), view.picture_size)
    place = (float(middle[0]), float(middle[1]))
    return HeadRegion(
        place,
        float(edge[0] - middle[0]),
        outline,
        placed_by,
        radius,
        depth + 0.7 * build["head_depth"],
        shown and not len(hole),
    )


def _is_outside(uv: NDArray[np.float64], trusted: NDArray[np.bool_], picture_size: tuple[int, int]) -> bool:
    """Whether the picture certainly ends before the head: all of it and both shoulders lie outside."""
    inside = np.asarray(((uv > -0.5) & (uv < np.array(picture_size) - 0.5)).all(axis=1))
    if bool(inside[[*_HEAD, *_SHOULDERS]].any()):
        return False
    predicted = _above_trunk(uv, trusted)
    return predicted is None or not (
        0 <= predicted[0] < picture_size[0] and 0 <= predicted[1] < picture_size[1]
    )


def _is_doubtful(scores: NDArray[np.float64], *, lies_apart: bool) -> bool:
    """Whether a head's keypoints are not sure of themselves, so that what the trunk says counts as well.

    Raises:
        HeadNotPlaced: they lie apart; or only the hips are sure: then the body ends in something else.
    """
    if lies_apart:
        raise HeadNotPlaced("its keypoints lie apart, and are not sure")
    if max(scores[_HEAD].mean(), scores[_SHOULDERS].mean()) < _UPPER * scores[_HIPS].mean():
        raise HeadNotPlaced("neither the head nor the shoulders are seen well enough")
    return bool(scores[_HEAD].mean() < _DOUBTFUL * scores[_TRUNK].mean())


def _head_depth(found: SurfaceDepth, trusted: NDArray[np.bool_]) -> float:
    """Depth of the head's skin; kept near to the shoulders', since a wall seen past a head is not."""
    head = _HEAD[found.observed[_HEAD] & trusted[_HEAD]]
    shoulders = _SHOULDERS[found.observed[_SHOULDERS] & trusted[_SHOULDERS]]
    depth = float(np.median(found.depth[head if head.size else _HEAD]))
    if shoulders.size:
        beside = float(np.median(found.depth[shoulders]))
        depth = float(np.clip(depth, beside - _HEAD_TO_SHOULDERS, beside + _HEAD_TO_SHOULDERS))
    return depth


def _above_trunk(at: NDArray[np.float64], trusted: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Where the head's middle is by the trunk alone, None where that is not seen."""
    if not (trusted[_SHOULDERS].all() and trusted[_HIPS].any()):
        return None
    shoulders = at[_SHOULDERS].mean(axis=0)
    hips = at[_HIPS[trusted[_HIPS]]].mean(axis=0)
    return np.asarray(shoulders + _ABOVE_SHOULDERS * (shoulders - hips))


def _upwards(at: NDArray[np.float64], trusted: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """From the hips to the shoulders (2,), of length 1; None where either is not seen."""
    shoulders, hips = _SHOULDERS[trusted[_SHOULDERS]], _HIPS[trusted[_HIPS]]
    if not (shoulders.size and hips.size):
        return None
    up = at[shoulders].mean(axis=0) - at[hips].mean(axis=0)
    return np.asarray(up / max(float(np.linalg.norm(up)), 1.0))


def _middle(
    at: NDArray[np.float64], scores: NDArray[np.float64], trusted: NDArray[np.bool_], reach: float
) -> tuple[NDArray[np.float64] | None, list[int], list[int]]:
    """The head's middle by its own keypoints, those that belong to it, and those trusted that lie astray."""
    own = _HEAD[trusted[_HEAD]]
    if own.size < 2:
        return None, [], []
    away = np.linalg.norm(at[own] - np.median(at[own], axis=0), axis=1)
    members, strays = own[away <= _STRAY * reach], own[away > _STRAY * reach]
    if members.size < 2:
        return None, [], [int(joint) for joint in own]
    weight = _WEIGHT[members] * scores[members]
    centre = (at[members] * weight[:, None]).sum(axis=0) / weight.sum()
    return centre, [int(joint) for joint in members], [int(joint) for joint in strays]

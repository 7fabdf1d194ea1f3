"""Place a head in a picture from keypoints and depth.

A head is taken as a ball. Its size follows from the body's, its place and depth from the keypoints of the
head or, if they are not seen, from the trunk. The region is the convex hull of the ball, of discs around the
head's keypoints, and of the hair and hat that the depth map shows. So it has no holes where depth is
missing, and it does not depend on the side from which the head is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.lifting.anatomy import Build, fit_build
from pose.lifting.surface import SurfaceDepth, surface_depth
from pose.privacy.head_depth import HeadBall, hair_outline, hole_outline
from pose.privacy.region import HeadNotPlaced, HeadRegion, PlacedBy, disc, hull

# The ball's radius: half the head's height, with hair and a little more.
_BALL: Final = 1.20  # of half the head's height
_BALL_MARGIN: Final = 0.006  # metres
_CENTRE_BEHIND_SURFACE: Final = 0.7  # of half the head's depth: its middle is farther than its surface

# The stature, in metres, that sets the head's size if no bone is seen.
_ADULT: Final = 1.75  # of a person: rather too large
_HALF_GROWN: Final = 1.30  # of a low-confidence detection, which may well be nobody

# In radii of the ball.
_KEYPOINT_MARGIN: Final = 0.6  # radius of the disc around each keypoint of the head
_OUTLIER: Final = 2.2  # a keypoint farther than this from the others is not the head's
_MISPLACED: Final = 3.0  # a head farther than this from where the trunk says does not belong to it
_UNCERTAIN: Final = 1.5  # how much larger the ball is where the place is uncertain

_HEAD_ABOVE_SHOULDERS: Final = 0.40  # trunk lengths between the middles of the shoulders and of the head
_HEAD_TO_SHOULDERS: Final = 0.35  # the largest possible difference of their depths in metres

# Ears lie beside the head's middle, the nose lies in front of it.
_WEIGHT: Final = np.array([0.4, 0.6, 0.6, 1.0, 1.0])
_HEAD: Final = np.array(kp.HEAD)
_SHOULDERS: Final = np.array([kp.LEFT_SHOULDER, kp.RIGHT_SHOULDER])
_HIPS: Final = np.array([kp.LEFT_HIP, kp.RIGHT_HIP])
_TRUNK: Final = np.array(kp.TORSO)

# A keypoint is usable if its score is at least _MIN_SCORE, and this share of the person's mean score.
_MIN_SCORE: Final = 0.1
_MIN_OF_MEAN: Final = 0.3

# Mean scores of groups of keypoints.
_CONFIDENT: Final = 0.6  # a head below this may be a guess of the network
_MIN_OF_TRUNK: Final = 0.65  # a head below this share of the trunk's score is uncertain
_MIN_OF_HIPS: Final = 0.55  # an upper body below this share of the hips' score is not seen


def head_radius(build: Build) -> float:
    """Return the radius in metres of a ball that holds the head and hair of somebody of this build."""
    return _BALL * build["head_height"] + _BALL_MARGIN


def place_head(person: Person, view: View, *, low_confidence: bool = False) -> HeadRegion:
    """Return the region of one person's head.

    Args:
        person: with keypoints in pixels of the picture.
        view: the frame's picture, by its camera, and its depth map.
        low_confidence: whether the person is a low-confidence detection. Then every keypoint with a score
            is used, and the region follows from the keypoints alone: what the depth map shows around them
            need not be hair.

    Raises:
        HeadNotPlaced: it is not certain where the head is.
    """
    keypoints = _usable_keypoints(person, view, low_confidence)
    if _is_outside(person.keypoints, keypoints.usable, view.picture_size):
        u, v = person.keypoints[_HEAD].mean(axis=0).tolist()
        return HeadRegion((u, v), 0.0, np.empty((0, 2), np.int32), PlacedBy.OUTSIDE)
    size = _head_size(keypoints, view.depthmap, _HALF_GROWN if low_confidence else _ADULT)
    location = _locate(keypoints, size.radius_px)
    guessed = not low_confidence and bool(keypoints.scores[_HEAD].mean() < _CONFIDENT)
    uncertain = location.placed_by is PlacedBy.HEAD and _is_uncertain(
        keypoints.scores, spread=guessed and location.spread
    )
    ball = HeadBall(location.centre, location.radius_px, size.radius, size.surface_depth)
    hair, hole, seen = np.empty((0, 2)), np.empty((0, 2)), True
    if not low_confidence:
        hair, seen = hair_outline(view.depthmap, ball, keypoints.at[keypoints.among(_SHOULDERS)])
    if guessed:
        hole = hole_outline(view.depthmap, ball, _upwards(keypoints))

    margins = [disc(at, _KEYPOINT_MARGIN * ball.radius_px) for at in keypoints.at[location.head_keypoints]]
    parts = [disc(ball.centre, ball.radius_px), *margins, hair, hole]
    if location.by_trunk is not None and (uncertain or not seen):
        parts.append(disc(location.by_trunk, ball.radius_px))
    elif uncertain:
        parts.append(disc(ball.centre, _UNCERTAIN * ball.radius_px))

    centre, edge = view.to_picture(np.array([ball.centre, ball.centre + np.array([ball.radius_px, 0.0])]))
    return HeadRegion(
        centre=(float(centre[0]), float(centre[1])),
        radius_px=float(edge[0] - centre[0]),
        outline=hull(view.to_picture(np.concatenate(parts)), view.picture_size),
        placed_by=location.placed_by,
        radius=size.radius,
        depth=size.centre_depth,
        depth_confirmed=seen and not len(hole),
    )


@dataclass(frozen=True, eq=False)
class _Keypoints:
    """A person's keypoints in the depth map.

    Attributes:
        at: (17, 2) u, v in pixels of the depth map.
        scores: (17,).
        usable: (17,) bool, those whose scores are high enough.
    """

    at: NDArray[np.float64]
    scores: NDArray[np.float64]
    usable: NDArray[np.bool_]

    def among(self, joints: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return those joints that are usable."""
        return joints[self.usable[joints]]


@dataclass(frozen=True)
class _HeadSize:
    """Radius of a head's ball in metres and in depth pixels, and depths of surface and middle in metres."""

    radius: float
    radius_px: float
    surface_depth: float
    centre_depth: float


@dataclass(frozen=True, eq=False)
class _Location:
    """Where a head is, in pixels of the depth map.

    Attributes:
        centre: (2,) of the head's middle.
        radius_px: of its ball; larger where only the trunk tells the place.
        placed_by: HEAD or TRUNK.
        by_trunk: (2,) of the middle according to the trunk; None if the trunk is not seen.
        head_keypoints: indices of the head's usable keypoints.
        spread: whether some of them lie far from the others.
    """

    centre: NDArray[np.float64]
    radius_px: float
    placed_by: PlacedBy
    by_trunk: NDArray[np.float64] | None
    head_keypoints: NDArray[np.intp]
    spread: bool


def _usable_keypoints(person: Person, view: View, low_confidence: bool) -> _Keypoints:
    least = np.finfo(float).tiny if low_confidence else _MIN_SCORE
    usable = person.scores >= max(least, _MIN_OF_MEAN * person.score)
    return _Keypoints(view.to_depth(person.keypoints), person.scores, usable)


def _is_outside(uv: NDArray[np.float64], usable: NDArray[np.bool_], picture_size: tuple[int, int]) -> bool:
    """Return whether the picture certainly ends before the head: head and both shoulders lie outside."""
    inside = np.asarray(((uv > -0.5) & (uv < np.array(picture_size) - 0.5)).all(axis=1))
    if bool(inside[[*_HEAD, *_SHOULDERS]].any()):
        return False
    middle = _above_trunk(uv, usable)
    return middle is None or not (0 <= middle[0] < picture_size[0] and 0 <= middle[1] < picture_size[1])


def _head_size(keypoints: _Keypoints, depthmap: DepthMap, default_stature: float) -> _HeadSize:
    """Return the head's size from the lengths of the bones, and its depth.

    Raises:
        HeadNotPlaced: the person has no depth.
    """
    found = surface_depth(depthmap, keypoints.at, np.where(keypoints.usable, keypoints.scores, 0.0))
    if not found.observed[keypoints.usable].any():
        raise HeadNotPlaced("no depth at the person, so the size of the head is not known")
    pixels_per_metre = depthmap.intrinsics.fx / found.depth  # (17,)
    points = np.column_stack((keypoints.at / pixels_per_metre[:, None], found.depth))
    build = fit_build(points, found.observed & keypoints.usable, default=default_stature)
    radius, surface = head_radius(build), _head_depth(found, keypoints)
    centre = surface + _CENTRE_BEHIND_SURFACE * build["head_depth"]
    return _HeadSize(radius, radius * depthmap.intrinsics.fx / centre, surface, centre)


def _head_depth(found: SurfaceDepth, keypoints: _Keypoints) -> float:
    """Return the depth of the head's surface, kept near the shoulders': a wall beside the head is not it."""
    head, shoulders = (joints[found.observed[joints]] for joints in map(keypoints.among, (_HEAD, _SHOULDERS)))
    depth = float(np.median(found.depth[head if head.size else _HEAD]))
    if shoulders.size:
        beside = float(np.median(found.depth[shoulders]))
        depth = float(np.clip(depth, beside - _HEAD_TO_SHOULDERS, beside + _HEAD_TO_SHOULDERS))
    return depth


def _locate(keypoints: _Keypoints, radius_px: float) -> _Location:
    """Return where the head is by its own keypoints, or else by the trunk.

    Raises:
        HeadNotPlaced: neither is seen well enough, or they contradict each other.
    """
    by_trunk = _above_trunk(keypoints.at, keypoints.usable)
    inliers, outliers = _split_outliers(keypoints, radius_px)
    head, spread = np.concatenate((inliers, outliers)), outliers.size > 0
    if inliers.size:
        weight = _WEIGHT[inliers] * keypoints.scores[inliers]
        centre = (keypoints.at[inliers] * weight[:, None]).sum(axis=0) / weight.sum()
        if by_trunk is not None and np.linalg.norm(centre - by_trunk) > _MISPLACED * radius_px:
            raise HeadNotPlaced("head and trunk do not fit together")
        return _Location(centre, radius_px, PlacedBy.HEAD, by_trunk, head, spread)
    if by_trunk is None:
        raise HeadNotPlaced("neither the head nor the trunk is seen well enough")
    return _Location(by_trunk, radius_px * _UNCERTAIN, PlacedBy.TRUNK, by_trunk, head, spread)


def _split_outliers(keypoints: _Keypoints, radius_px: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the head's usable keypoints that agree, two at least or none, and those that lie far away."""
    none, head = np.empty(0, np.intp), keypoints.among(_HEAD)
    if head.size < 2:
        return none, none
    distance = np.linalg.norm(keypoints.at[head] - np.median(keypoints.at[head], axis=0), axis=1)
    near = distance <= _OUTLIER * radius_px
    return (head[near], head[~near]) if near.sum() >= 2 else (none, head)


def _is_uncertain(scores: NDArray[np.float64], *, spread: bool) -> bool:
    """Return whether the head's scores are so low that the place according to the trunk counts as well.

    Args:
        scores: (17,) of all keypoints.
        spread: whether the head's keypoints lie apart, and may be guesses.

    Raises:
        HeadNotPlaced: they lie apart; or only the hips are seen: then something else is above them.
    """
    head, shoulders, hips, trunk = (scores[part].mean() for part in (_HEAD, _SHOULDERS, _HIPS, _TRUNK))
    if spread:
        raise HeadNotPlaced("its keypoints lie apart, and are not sure")
    if max(head, shoulders) < _MIN_OF_HIPS * hips:
        raise HeadNotPlaced("neither the head nor the shoulders are seen well enough")
    return bool(head < _MIN_OF_TRUNK * trunk)


def _above_trunk(at: NDArray[np.float64], usable: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return the head's middle (2,) according to the trunk; None if the trunk is not seen."""
    if not (usable[_SHOULDERS].all() and usable[_HIPS].any()):
        return None
    shoulders = at[_SHOULDERS].mean(axis=0)
    hips = at[_HIPS[usable[_HIPS]]].mean(axis=0)
    return np.asarray(shoulders + _HEAD_ABOVE_SHOULDERS * (shoulders - hips))


def _upwards(keypoints: _Keypoints) -> NDArray[np.float64] | None:
    """Return the direction (2,) of length 1 from the hips to the shoulders; None if either is not seen."""
    shoulders, hips = keypoints.among(_SHOULDERS), keypoints.among(_HIPS)
    if not (shoulders.size and hips.size):
        return None
    up = keypoints.at[shoulders].mean(axis=0) - keypoints.at[hips].mean(axis=0)
    return np.asarray(up / max(float(np.linalg.norm(up)), 1.0))

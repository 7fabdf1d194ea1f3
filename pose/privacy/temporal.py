"""Propagate heads between the frames of a scan.

A head that was placed in one frame is still there in the next. If it was missed there, it is redacted where
the nearest frames saw it, moved with the body and the phone, or else the picture is withheld.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.privacy.region import HeadRegion, Heads, PlacedBy, disc, hull

_MAX_FRAMES: Final = 2  # how many frames before and after are searched for one that knows its heads
_OWN: Final = (PlacedBy.HEAD, PlacedBy.TRUNK)  # heads that a frame placed itself, from a person

# In metres.
_MAX_MOTION: Final = 0.5  # a trunk that moved farther from one frame to the next is somebody else's
_DEPTH_MARGIN: Final = 0.1  # how far a depth may differ from the ball's middle, beyond its radius

_GROWTH: Final = 1.35  # of the ball: a head also moves by itself
_SAME_HEAD: Final = 1.0  # two heads are the same if their middles are nearer than this many radii
_INNER: Final = 0.6  # the part of the ball's radius in which depth is compared
_MIN_KNOWN: Final = 0.3  # a head is there if this share of the inner ball has depth,
_MIN_AGREEING: Final = 0.5  # and this share of that is at the ball's depth
_MIN_BEHIND: Final = 0.8  # no head is there if this share lies behind the ball


@dataclass(frozen=True, eq=False)
class FrameHeads:
    """The people and heads of one frame, before heads are propagated.

    Attributes:
        people: with keypoints in pixels of the picture.
        heads: as `find_all_heads` returns them.
        view: the frame's picture, by its camera, and its depth map.
    """

    people: Sequence[Person]
    heads: Heads
    view: View

    @property
    def own(self) -> list[HeadRegion]:
        """Heads of people, with known depth and size."""
        return [
            region for region in self.heads.regions if region.placed_by in _OWN and np.isfinite(region.depth)
        ]


def propagate_heads(frames: Sequence[FrameHeads]) -> list[Heads]:
    """Return the heads of each frame, with those that the frames before and after add.

    A frame whose heads are not all known gets those of its neighbours. Its reason is cleared if a neighbour
    shows at least as many heads as the frame has people and the frame's depth map confirms them all. A frame
    whose heads are known, but are fewer than a neighbour's, gets those that its depth map does not rule out.

    Args:
        frames: of one scan, in order.
    """
    return [_propagate(_neighbours(frames, i), frame) for i, frame in enumerate(frames)]


def _neighbours(frames: Sequence[FrameHeads], i: int) -> list[FrameHeads]:
    """Return the nearest frame before and after that has heads and knows them all."""
    found = []
    for direction in (-1, 1):
        indices = (i + direction * step for step in range(1, _MAX_FRAMES + 1))
        near = (frames[k] for k in indices if 0 <= k < len(frames))
        found += [frame for frame in near if frame.heads.reason is None and frame.own][:1]
    return found


def _propagate(neighbours: Sequence[FrameHeads], frame: FrameHeads) -> Heads:
    heads, added = frame.heads, list[HeadRegion]()
    all_known = heads.reason is None
    for neighbour in neighbours:
        moved = _moved(neighbour, frame)
        if not all_known and len(moved) == len(neighbour.own) >= len(frame.people):
            all_known = all(_is_confirmed(region, frame) for region in moved)
        if heads.reason is not None:
            added += moved  # also beside a head that the frame placed itself: that place is not sure
        elif len(neighbour.own) > len(frame.own):
            added += [region for region in moved if not _is_same_head(region, frame.own)]
    if heads.reason is None:
        added = [region for region in added if not _is_ruled_out(region, frame)]
    return replace(heads, regions=(*heads.regions, *added), reason=None if all_known else heads.reason)


def _moved(source: FrameHeads, target: FrameHeads) -> list[HeadRegion]:
    """Return the heads of one frame as another frame sees them.

    Heads behind the other camera, and heads that the depth map does not confirm, are left out.
    """
    if not (source.view.depthmap.pose_known and target.view.depthmap.pose_known):
        return []
    before, after = _trunk(source), _trunk(target)
    motion = np.zeros(3)
    if before is not None and after is not None and np.linalg.norm(after - before) < _MAX_MOTION:
        motion = after - before
    moved = []
    for region in (region for region in source.own if region.depth_confirmed):
        at = source.view.to_depth(np.array([region.centre]))[0]
        point = source.view.depthmap.unproject(at[0], at[1], region.depth) + motion
        u, v, depth = (float(value) for value in target.view.depthmap.project(point))
        if depth < region.radius:
            continue
        radius_px = _GROWTH * region.radius * target.view.depthmap.intrinsics.fx / depth
        middle, edge = target.view.to_picture(np.array([(u, v), (u + radius_px, v)]))
        outline = hull(target.view.to_picture(disc(np.array((u, v)), radius_px)), target.view.picture_size)
        centre = (float(middle[0]), float(middle[1]))
        moved.append(
            HeadRegion(centre, float(edge[0] - middle[0]), outline, PlacedBy.TEMPORAL, region.radius, depth)
        )
    return moved


def _trunk(frame: FrameHeads) -> NDArray[np.float64] | None:
    """Return the world point (3,) of the surface of the only person's trunk.

    None if there is not exactly one person, or the trunk has no depth.
    """
    if len(frame.people) != 1:
        return None
    at = frame.view.to_depth(frame.people[0].keypoints[list(kp.TORSO)])
    u, v = at.mean(axis=0).tolist()
    window = _window(frame.view.depthmap, np.array((u, v)), float(np.ptp(at, axis=0).max()) / 4)
    known = window[window > 0]
    if known.size == 0:
        return None
    return frame.view.depthmap.unproject(u, v, float(np.median(known)))


def _is_same_head(region: HeadRegion, others: Sequence[HeadRegion]) -> bool:
    """Return whether a head is one of the others."""
    return any(
        np.linalg.norm(np.subtract(region.centre, other.centre))
        < _SAME_HEAD * max(region.radius_px, other.radius_px)
        for other in others
    )


def _is_confirmed(region: HeadRegion, frame: FrameHeads) -> bool:
    """Return whether the depth map shows something at the ball's depth."""
    depth = _inner_depth(region, frame)
    known = depth[depth > 0]
    near = np.abs(known - region.depth) < region.radius + _DEPTH_MARGIN
    enough = known.size >= _MIN_KNOWN * max(depth.size, 1)
    return bool(enough and near.sum() >= _MIN_AGREEING * known.size > 0)


def _is_ruled_out(region: HeadRegion, frame: FrameHeads) -> bool:
    """Return whether the depth map shows what is behind the ball, so that no head can be there."""
    depth = _inner_depth(region, frame)
    known = depth[depth > 0]
    behind = known > region.depth + region.radius + _DEPTH_MARGIN
    return bool(known.size > depth.size / 2 and behind.sum() >= _MIN_BEHIND * known.size)


def _inner_depth(region: HeadRegion, frame: FrameHeads) -> NDArray[np.float32]:
    """Return the depths (n,) in the inner part of a head's ball."""
    at = frame.view.to_depth(np.array([region.centre]))[0]
    half_side = _INNER * region.radius * frame.view.depthmap.intrinsics.fx / region.depth
    return _window(frame.view.depthmap, at, half_side)


def _window(depthmap: DepthMap, centre: NDArray[np.float64], half_side: float) -> NDArray[np.float32]:
    """Return the depths (n,) of a square about a point, as far as it lies in the map."""
    left, top = np.maximum(np.rint(centre - half_side), 0).astype(int)
    right, bottom = np.maximum(np.rint(centre + half_side) + 1, 0).astype(int)
    return np.asarray(depthmap.depth[top:bottom, left:right]).ravel()

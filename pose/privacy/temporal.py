"""Frames of one scan back each other up.

A head that was placed in one frame is not gone in the next. Where it was not found there, it is covered where
it was in the frames beside, moved with the body and the phone, or the picture is withheld.
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

_REACH: Final = 2  # frames before and after that are asked
_OWN: Final = (PlacedBy.HEAD, PlacedBy.TRUNK)  # what a frame placed by itself, from a person

# In metres.
_MOVED: Final = 0.5  # a trunk that moved farther from one frame to the next is another's
_DEEP: Final = 0.1  # how much a depth may differ from the ball's, beyond its radius

_GROWN: Final = 1.35  # the ball: a head moves by itself as well
_SAME: Final = 1.0  # heads whose middles are nearer than this many radii are one
_INNER: Final = 0.6  # of the ball's radius: where depth is looked at
_SEEN: Final = 0.3  # share of the depth there that must have been measured to say that a head is there,
_AGREES: Final = 0.5  # and of that the share at the ball's depth
_SEEN_THROUGH: Final = 0.8  # the share that lies behind the ball where no head can be


@dataclass(frozen=True, eq=False)
class FrameHeads:
    """A frame and its heads as far as it tells itself.

    Attributes:
        people: with keypoints in pixels of the picture.
        heads: as `find_all_heads` gives them.
        view: the frame's picture, by its camera, and its depth map.
    """

    people: Sequence[Person]
    heads: Heads
    view: View

    @property
    def own(self) -> list[HeadRegion]:
        """Heads of people, of which depth and size are known."""
        return [
            region for region in self.heads.regions if region.placed_by in _OWN and np.isfinite(region.depth)
        ]


def propagate_heads(frames: Sequence[FrameHeads]) -> list[Heads]:
    """The heads of each frame, with those that the frames beside it tell of.

    A frame that is not certain of its heads becomes certain if a frame beside it shows as many as this one
    has people, or more, and its depth map agrees that they are there. One that is certain, and shows fewer
    people than a frame beside it, has those added that its depth map does not rule out.

    Args:
        frames: of one scan, in order.
    """
    return [_backed_up(frame, _beside(frames, i)) for i, frame in enumerate(frames)]


def _beside(frames: Sequence[FrameHeads], i: int) -> list[FrameHeads]:
    """The nearest frames before and after that are certain of their heads and have some."""
    found = []
    for way in (-1, 1):
        steps = (i + way * step for step in range(1, _REACH + 1))
        usable = (frames[k] for k in steps if 0 <= k < len(frames))
        found += [frame for frame in usable if frame.heads.reason is None and frame.own][:1]
    return found


def _backed_up(frame: FrameHeads, beside: Sequence[FrameHeads]) -> Heads:
    heads, more = frame.heads, list[HeadRegion]()
    certain = heads.reason is None
    for other in beside:
        moved = _moved(other, frame)
        if not certain and len(moved) == len(other.own) >= len(frame.people):
            certain = all(_is_there(region, frame) for region in moved)
        if heads.reason is not None or len(other.own) > len(frame.own):
            more += [region for region in moved if not _is_known(region, frame.own)]
    if heads.reason is None:
        more = [region for region in more if not _is_seen_through(region, frame)]
    return replace(heads, regions=(*heads.regions, *more), reason=None if certain else heads.reason)


def _moved(other: FrameHeads, frame: FrameHeads) -> list[HeadRegion]:
    """Heads of another frame as this one sees them.

    Those are left out that are not before its camera, and those that the other frame only guesses.
    """
    if not (other.view.depthmap.pose_known and frame.view.depthmap.pose_known):
        return []
    there, here = _trunk(other), _trunk(frame)
    shift = np.zeros(3)
    if there is not None and here is not None and np.linalg.norm(here - there) < _MOVED:
        shift = here - there
    moved = []
    for region in (region for region in other.own if region.shown):
        at = other.view.to_depth(np.array([region.centre]))[0]
        point = other.view.depthmap.unproject(at[0], at[1], region.depth) + shift
        u, v, depth = (float(value) for value in frame.view.depthmap.project(point))
        if depth < region.radius:
            continue
        reach = _GROWN * region.radius * frame.view.depthmap.intrinsics.fx / depth
        middle, edge = frame.view.to_picture(np.array([(u, v), (u + reach, v)]))
        outline = hull(frame.view.to_picture(disc(np.array((u, v)), reach)), frame.view.picture_size)
        place = (float(middle[0]), float(middle[1]))
        moved.append(
            HeadRegion(place, float(edge[0] - middle[0]), outline, PlacedBy.TEMPORAL, region.radius, depth)
        )
    return moved


def _trunk(frame: FrameHeads) -> NDArray[np.float64] | None:
    """World point (3,) of the only person's trunk, on the skin; None where there is not one, or no depth."""
    if len(frame.people) != 1:
        return None
    at = frame.view.to_depth(frame.people[0].keypoints[list(kp.TORSO)])
    u, v = at.mean(axis=0).tolist()
    window = _window(frame.view.depthmap, np.array((u, v)), float(np.ptp(at, axis=0).max()) / 4)
    known = window[window > 0]
    if known.size == 0:
        return None
    return frame.view.depthmap.unproject(u, v, float(np.median(known)))


def _is_known(region: HeadRegion, own: Sequence[HeadRegion]) -> bool:
    """Whether the frame has placed this head itself."""
    return any(
        np.linalg.norm(np.subtract(region.centre, one.centre)) < _SAME * max(region.radius_px, one.radius_px)
        for one in own
    )


def _is_there(region: HeadRegion, frame: FrameHeads) -> bool:
    """Whether the depth map shows something at the ball's depth where it is."""
    depth = _depth_at(region, frame)
    known = depth[depth > 0]
    near = np.abs(known - region.depth) < region.radius + _DEEP
    return bool(known.size >= _SEEN * max(depth.size, 1) and near.sum() >= _AGREES * known.size > 0)


def _is_seen_through(region: HeadRegion, frame: FrameHeads) -> bool:
    """Whether the depth map shows what is behind the ball where it is, so that no head can be there."""
    depth = _depth_at(region, frame)
    known = depth[depth > 0]
    behind = known > region.depth + region.radius + _DEEP
    return bool(known.size > depth.size / 2 and behind.sum() >= _SEEN_THROUGH * known.size)


def _depth_at(region: HeadRegion, frame: FrameHeads) -> NDArray[np.float32]:
    at = frame.view.to_depth(np.array([region.centre]))[0]
    reach = _INNER * region.radius * frame.view.depthmap.intrinsics.fx / region.depth
    return _window(frame.view.depthmap, at, reach)


def _window(depthmap: DepthMap, centre: NDArray[np.float64], reach: float) -> NDArray[np.float32]:
    """Depths (n,) in a square about a point, as far as it lies in the map."""
    left, top = np.maximum(np.rint(centre - reach), 0).astype(int)
    right, bottom = np.maximum(np.rint(centre + reach) + 1, 0).astype(int)
    return np.asarray(depthmap.depth[top:bottom, left:right]).ravel()

"""Estimate a child's stature from one frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from numpy.typing import ArrayLike

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.geometry.view import View
from pose.lifting.anatomy import fit_build
from pose.lifting.lift import lift_in_view
from pose.lifting.posture import Posture, classify_posture
from pose.lifting.skeleton import Skeleton
from pose.stature.body import BodyView
from pose.stature.crop import FloatArray

if TYPE_CHECKING:
    from pose.stature.weights import StatureModel

MIN_STATURE: Final = 0.40  # metres; the network has learned 0.50 to 1.30
MAX_STATURE: Final = 1.40
_CROWN_OUTSIDE: Final = 3.0  # pixels: a crown farther outside the depth map cannot be told
_PASSES: Final = 3  # each centres the crop on the crown that the last one found
# Scale for each metre of the head above all that was measured: the value with the greatest likelihood on 405
# rendered frames.
_UNSEEN: Final = 0.3
_DOUBTFUL: Final = 2.0  # factor of the scale for each reason to doubt
# The stature to which the lengths of the bones belong is off by more in one frame of a hundred.
_USUAL_PROPORTIONS: Final = 0.33


@dataclass(frozen=True, eq=False)
class FrameStature:
    """The stature of the child in one frame.

    Attributes:
        stature: metres.
        scale: of the Laplace distribution of its error, metres.
        crown: (3,) metres in the world: the highest point of the skull.
        lying: whether the child lies.
        unseen: metres of the head above all that was measured of it. If the phone has lost only a strip at
            the edge, and no hair, the child is so much smaller.
    """

    stature: float
    scale: float
    crown: FloatArray
    lying: bool
    unseen: float = 0.0


def estimate_stature(
    depthmap: DepthMap, skeleton: Skeleton, lying: bool, model: StatureModel | None = None
) -> FrameStature | None:
    """Return the stature of a child who stands or lies.

    A network finds the crown in a crop of the depth map, and tells from skeleton and crops how much taller
    the child would be if it stood straight. The scale of the error is larger if both feet are outside the
    picture, if the bones are those of a child of quite another stature, or if nothing was measured at the
    crown.

    Args:
        depthmap: shows the child.
        skeleton: lifted with the method "inside".
        lying: whether the child lies.
        model: None takes the one in the package.

    Returns:
        None if the depth map does not tell: the crown or the legs are outside it, the camera looks along the
        body, no floor is seen under a child who stands, or the person is no child.
    """
    body = BodyView.of(depthmap, skeleton, lying)
    start = None if body is None else body.first_centre()
    legs = 0 if body is None else _legs_in_picture(body)
    if body is None or start is None or not legs:
        return None
    model = load_stature_model() if model is None else model
    for _ in range(_PASSES):
        centre = body.on_surface(start)
        if centre is None:
            return None
        inputs = body.inputs(centre)
        if inputs is None:
            return None
        (to_crown, beyond), (_, scale) = model.predict(*inputs)
        start = centre + to_crown * body.along
        stature = body.rest(centre) + beyond
    if not (MIN_STATURE < stature < MAX_STATURE and body.shows(start, _CROWN_OUTSIDE)):
        return None
    build = fit_build(body.joints, skeleton.observed)
    if legs < 2:
        scale *= _DOUBTFUL
    if abs(math.log(build.stature / stature)) > _USUAL_PROPORTIONS:
        scale *= _DOUBTFUL
    unseen = body.unseen(start)
    return FrameStature(stature, math.hypot(scale, _UNSEEN * unseen), start, lying, unseen)


def _legs_in_picture(body: BodyView) -> int:
    """Return 2 if an ankle is in the picture, 1 if only a knee of a child who stands is, otherwise 0."""
    u, v, depth = body.depthmap.project(body.joints)
    inside = (depth > 0) & (u > -1) & (u < body.depthmap.width) & (v > -1) & (v < body.depthmap.height)
    if inside[[kp.LEFT_ANKLE, kp.RIGHT_ANKLE]].any():
        return 2
    return int(not body.lying and inside[[kp.LEFT_KNEE, kp.RIGHT_KNEE]].any())


def frame_stature(
    view: View,
    keypoints: ArrayLike,
    scores: ArrayLike,
    floor: float | None,
    model: StatureModel | None = None,
) -> FrameStature | None:
    """Return the stature of one person in a frame, from its keypoints; None as of `estimate_stature`.

    Args:
        view, keypoints, scores, floor: as of `lift_in_view`.
        model: None takes the one in the package.
    """
    skeleton = lift_in_view(view, keypoints, scores, "inside", floor)
    posture = classify_posture(skeleton).posture if skeleton.measured else Posture.UNKNOWN
    if posture is Posture.UNKNOWN:
        return None
    return estimate_stature(view.depthmap, skeleton, posture is Posture.LYING, model)


@cache
def load_stature_model() -> StatureModel:
    """Return the model in the package. It is read once.

    Raises:
        InvalidWeights: see `read_stature_model`.
    """
    from pose.stature.weights import read_stature_model  # imports torch

    return read_stature_model()

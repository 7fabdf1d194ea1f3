"""Rendered scans as they should not be: the phone held another way, another step, a changed picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

import pose
from pose.evaluation.variants import UNVARIED, VARIANTS, Variant
from pose.geometry.orientation import LYING_STEPS

HANDLINGS: Final = ("roll:DEGREES", "step:NUMBER", "step:other", "pose:none", *VARIANTS)
_OTHER_POSTURE: Final = 100  # between the steps of standing and lying children


@dataclass(frozen=True)
class Handling:
    """What differs from a scan as the guidelines want it.

    Attributes:
        roll: degrees by which the phone is turned clockwise, as its holder sees it.
        step: the step of all frames; None keeps the right one.
        other_posture: whether the step is that of the other posture: standing and lying are mixed up.
        pose_known: whether the phone knows its pose.
        picture: what happens to the pictures before they arrive.
    """

    roll: float = 0.0
    step: int | None = None
    other_posture: bool = False
    pose_known: bool = True
    picture: Variant = UNVARIED

    def applied(self, scan: pose.Scan) -> pose.Scan:
        """Return a scan with this step and pose, and such pictures; the roll must have been rendered."""
        step = scan.step if self.step is None else self.step
        if self.other_posture:
            step += -_OTHER_POSTURE if step in LYING_STEPS else _OTHER_POSTURE
        frames = tuple(
            self.picture.frame(replace(frame, step=step, depthmap=self._posed(frame.depthmap)))
            for frame in scan.frames
        )
        return replace(scan, step=step, frames=frames)

    def _posed(self, depthmap: pose.DepthMap) -> pose.DepthMap:
        if self.pose_known:
            return depthmap
        return replace(depthmap, rotation=np.eye(3), translation=np.zeros(3), pose_known=False)


PLAIN: Final = Handling()  # as the guidelines want it


def parse_handling(text: str) -> Handling:
    """Return the handling that a text describes: "plain", "upside", or parts joined by commas.

    The parts are `roll:DEGREES`, `step:NUMBER`, `step:other` (the other posture's), `pose:none`, and one of
    the names of `VARIANTS`: `mirror`, `mirror:exif`, `exif:hint`, `crop80`.

    Raises:
        ValueError: the text is something else.

    >>> parse_handling("roll:45,step:other") == Handling(roll=45.0, other_posture=True)
    True
    """
    handling = PLAIN
    for part in text.split(","):
        key, _, value = part.partition(":")
        try:
            if part == "upside":
                handling = replace(handling, roll=180.0)
            elif key == "roll":
                handling = replace(handling, roll=float(value))
            elif part == "step:other":
                handling = replace(handling, other_posture=True)
            elif key == "step":
                handling = replace(handling, step=int(value))
            elif part == "pose:none":
                handling = replace(handling, pose_known=False)
            elif part in VARIANTS:
                handling = replace(handling, picture=VARIANTS[part])
            elif text != "plain":
                raise ValueError
        except ValueError:
            expected = f"plain, upside, or {', '.join(HANDLINGS)}, joined by commas"
            raise ValueError(f"handling is {text!r}, expected {expected}") from None
    return handling

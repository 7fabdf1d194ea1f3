"""Judge a scan: is it good enough, and if not, what does the field worker do better next time?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pose import keypoints as kp
from pose.analysis.aggregate import ScanFigures
from pose.analysis.body import Body
from pose.analysis.quality import QualityLimits
from pose.lifting.posture import Posture
from pose.results import Estimate, FrameResult, FrameStatus, Reason, Verdict

# Half the width of the 95 % interval of a length, as a share of it. The mean error of the original system's
# network for height, 2 cm, is that of an interval of 6 % either way for a child with a body length of 0.8 m.
GOOD: Final = 0.06
USABLE: Final = 0.12
_SHARE: Final = 0.5  # a reason is given if it holds for this share of the frames
_STEP: Final = 0.1  # metres; nobody steps back by centimetres


@dataclass(frozen=True, eq=False)
class JudgedFrame:
    """A frame's result, and the body of its only person; None if there is not exactly one, or no depth."""

    result: FrameResult
    body: Body | None


def _fixed(text: str) -> Callable[[float], str]:
    return lambda _: text


def _metres(start: str) -> Callable[[float], str]:
    """Return words with the metres to go, rounded up to a step that a person can make."""
    return lambda metres: f"{start}: {max(np.ceil(round(metres / _STEP, 3)), 1) * _STEP:.1f} m"


# Words for each code. The number is the median over the frames with this code of what `_findings` says.
WORDS: Final[Mapping[str, Callable[[float], str]]] = {
    "unreadable": _fixed("files of the scan cannot be read: scan again"),
    "calibration": _fixed("the files do not fit the phone's calibration: report this phone"),
    "misaligned": _fixed("picture and depth map show different views: restart the app, or report the phone"),
    "camera_pose": _fixed("the phone does not know how it is held: move it slowly, then scan"),
    "orientation": _fixed("it is not certain which way is up: hold the phone as the app shows it"),
    "step_mismatch": _fixed("the app was told another posture: choose the one in which the child is"),
    "no_person": _fixed("nobody was found: the whole child must be in the picture"),
    "several_persons": _fixed("several people were found: only the child may be in the picture"),
    "no_depth": _fixed("there is no depth at the child: go out of the sunlight, and away from glass"),
    "head_outside": _fixed("the head is not in the picture"),
    "feet_outside": _fixed("the feet are not in the picture"),
    "too_near": _metres("step back"),
    "too_far": _metres("step closer"),
    "camera_angle": lambda angle: (
        f"hold the phone more level: it looks {abs(angle):.0f} degrees {'down' if angle < 0 else 'up'}"
    ),
    "missing_depth": _fixed("much of the depth map is empty: go out of the sunlight"),
    "head_hidden": _fixed("the eyes are hidden: nothing may be in front of the head"),
    "legs_hidden": _fixed("hips or knees are hidden: move arms, blankets and clothes away from them"),
    "feet_hidden": _fixed("the feet are hidden: move blankets and other things away from them"),
    "score": _fixed("the child is hard to see: take away blankets and wide clothes, and let it stand alone"),
    "posture_unknown": _fixed("the child neither stands nor lies: straighten body and legs"),
    "frames_disagree": _fixed("the frames differ: the child must keep still"),
    "stature_differs": _fixed(
        "body length and stature do not fit each other: the child must be straight and look ahead"
    ),
    "uncertain": _fixed("the joints are not certain: arms away from the body, no wide clothes"),
}  # fmt: skip
_PARTS: Final = {
    "head": kp.HEAD[1:3],  # the eyes
    "legs": (kp.LEFT_HIP, kp.RIGHT_HIP, kp.LEFT_KNEE, kp.RIGHT_KNEE),
    "feet": (kp.LEFT_ANKLE, kp.RIGHT_ANKLE),
}


def judge(
    figures: ScanFigures, frames: Sequence[JudgedFrame], limits: QualityLimits
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Return the verdict on a scan, and its reasons, the most frequent first.

    A scan is `good` if its posture is known and the half width of its length's interval is at most 6 % of the
    length; `usable` if it is at most 12 %; else the scan should be repeated. A scan is not better than
    `usable` if body length and stature contradict each other in half of its frames. A good scan may have
    reasons: what most of its frames could do better. Each other scan has at least one.

    Args:
        figures: of the scan.
        frames: all of its frames, also those that cannot be read.
        limits: by which the frames were checked.
    """
    found: dict[str, dict[int, float]] = {}
    for frame in frames:
        for code, amount in _findings(frame, limits).items():
            found.setdefault(code, {})[frame.result.order] = amount
    verdict = _verdict(figures)
    enough = _SHARE * len(frames)
    codes = {code: orders for code, orders in found.items() if len(orders) >= enough}
    if verdict is Verdict.GOOD and "stature_differs" in codes:
        verdict = Verdict.USABLE
    if verdict is not Verdict.GOOD and not codes:
        most = max(map(len, found.values()), default=0)
        codes = {code: orders for code, orders in found.items() if len(orders) == most}
    order = list(WORDS)
    ranked = sorted(codes.items(), key=lambda each: (-len(each[1]), order.index(each[0])))
    reasons = [_reason(code, amounts) for code, amounts in ranked]
    if verdict is not Verdict.GOOD:
        reasons += [Reason(code=code, text=WORDS[code](0.0), frames=()) for code in _of_scan(figures)]
    return verdict, tuple(reasons)


def _verdict(figures: ScanFigures) -> Verdict:
    length = figures.body_length
    if length is None or relative_half_width(length) > USABLE:
        return Verdict.REPEAT
    known = figures.posture.posture is not Posture.UNKNOWN
    return Verdict.GOOD if known and relative_half_width(length) <= GOOD else Verdict.USABLE


def relative_half_width(estimate: Estimate) -> float:
    """Return half the width of an interval as a share of the value.

    >>> relative_half_width(Estimate(value=0.8, low=0.76, high=0.84))
    0.05
    """
    return round(estimate.half_width / estimate.value, 4)


def _of_scan(figures: ScanFigures) -> list[str]:
    """Return the codes of what only all frames together show."""
    if figures.body_length is None:
        return []
    codes = ["posture_unknown"] if figures.posture.posture is Posture.UNKNOWN else []
    if relative_half_width(figures.body_length) > GOOD:
        codes.append("frames_disagree" if figures.frames_disagree else "uncertain")
    return codes


def _reason(code: str, amounts: Mapping[int, float]) -> Reason:
    return Reason(
        code=code, text=WORDS[code](float(np.median(list(amounts.values())))), frames=tuple(amounts)
    )


def _findings(frame: JudgedFrame, limits: QualityLimits) -> dict[str, float]:
    """Return the codes of what is wrong with a frame, each with a number for its words."""
    result, body = frame.result, frame.body
    if result.status is FrameStatus.INVALID:
        return {"unreadable": 0.0}
    codes = dict.fromkeys(result.quality, 0.0)
    if codes.pop("person_count", None) is not None:
        codes[result.status.value] = 0.0
    if "camera_angle" in codes and result.camera_angle_deg is not None:
        codes["camera_angle"] = result.camera_angle_deg
    nearest, farthest = limits.distance
    if "too_near" in codes and result.child_distance_m is not None:
        codes["too_near"] = nearest - result.child_distance_m
    if "too_far" in codes and result.child_distance_m is not None:
        codes["too_far"] = result.child_distance_m - farthest
    if result.status is not FrameStatus.OK:
        # Without exactly one person no other limit matters, and camera and room are as they are.
        return {code: amount for code, amount in codes.items() if code == result.status.value}
    if body is not None and body.evidence.contradicted:
        codes["stature_differs"] = 0.0
    return codes | _hidden_parts(body)


def _hidden_parts(body: Body | None) -> dict[str, float]:
    """Return codes for the parts of the body of which neither side is seen."""
    codes = {}
    for part, joints in _PARTS.items():
        chosen = list(joints)
        if body is None or body.skeleton.observed[chosen].any():
            continue
        outside = part != "legs" and not body.inside[chosen].any()
        codes[f"{part}_{'outside' if outside else 'hidden'}"] = 0.0
    return codes

"""The length of the body: what one frame says, how far off it may be, and an interval for the scan.

The chain of joints alone is not enough. A joint that is too far back or too high makes it longer and nothing
tells it; a head that is raised moves the eyes. The child's stature does not depend on them: it is the check.
A frame's length is the one that is usual at its stature, moved by half the way to the chain, but by no more
than 2 %. On 572 rendered frames the median error of this is 1.3 % for children who stand and 3.0 % for those
who lie; that of the chain alone is 2.2 % and 3.9 %. Where both differ by more than 10 %, it is the chain that
is wrong.

What is known of a frame (its flags, how far beyond the limits it is, how well the skeleton agrees with
itself) predicts the size of its error: the logarithm of the expected error is linear in these features
(Harvey, "Estimating regression models with multiplicative heteroscedasticity", 1976). Frames are combined by
a median weighted by the inverse square of that size. The interval is the 95 % interval of conformal
prediction (Lei et al., "Distribution-free predictive inference for regression", 2018): the errors of rendered
scans, divided by their expected size, are sorted, and the middle 95 % of them are taken.

`make length-error` measures all constants on rendered scans, and writes them to
`pose/data/length-error.json`. Run it after each change of the model, of lifting, or of this file. The same
command with ARGS=--check only prints how many intervals hold the truth on other scans.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.analysis.quality import QualityLimits
from pose.lifting.anatomy import fit_build
from pose.lifting.posture import Posture, PostureEstimate
from pose.lifting.skeleton import Skeleton
from pose.results import Estimate

FILE: Final = "length-error.json"
FEATURES: Final = (
    "pitch", "far", "near", "missing_depth", "low_score", "hidden", "sides", "bent", "trunk",
    "proportions", "lying", "stature", "unchecked",
)  # fmt: skip
# The length that is usual at a stature, as a share of it: a + b * stature in metres, from 600 rendered
# children. That of 19 in 20 is within 5 % of it; the rest is proportions and the head's pose. It is more than
# the height of the eyes above the ankles, 0.835 of the stature, because the eyes are in front of the hips.
_USUAL: Final = (0.802, 0.07)
_CHAIN_SHARE: Final = 0.5
_MOST_MOVED: Final = 0.02
CONTRADICTS: Final = 0.08  # a chain farther from the usual length contradicts the stature
# Half of the rendered frames with an expected error above this are more than a fifth off: such a frame
# shows an adult instead of the child, or hardly anything of it.
SAYS_NOTHING: Final = 0.2
_SURE_SCORE: Final = 2.0  # in units of the estimator's `min_score`: a higher mean score says no more
_SHORTEST: Final = 0.01  # metres; its logarithm is taken
_CHAINS: Final = (kp.LEFT_CHAIN, kp.RIGHT_CHAIN)
# A feature counts up to this value. No rendered frame is farther out, so nothing is known there.
_MOST: Final = (4.0, 1.5, 3.0, 0.6, 1.0, 4.0, 0.4, 0.4, 0.5, 0.4, 1.0, 0.4, 1.0)


@dataclass(frozen=True)
class Evidence:
    """What one frame says about the length of the body.

    Attributes:
        length: in metres.
        features: what tells how far off it may be, in the order of `FEATURES`: tens of degrees and metres
            beyond the limits of camera angle and distance (near: tenths of a metre), missing depth as a share
            beyond its limit, how far the score is below a sure one, the number of hidden joints of the better
            chain, the relative difference between left and right, between the chain and the straight line
            from eye to ankle, between the trunk as a share of the legs and the usual share, and between the
            chain and the one that is usual with these bones; 1 for a body that lies; the relative difference
            between the chain and the length that is usual at the stature; and 1 if no stature was told.
    """

    length: float
    features: tuple[float, ...]

    @property
    def lying(self) -> bool:
        """Whether the body lies."""
        return self.features[FEATURES.index("lying")] > 0

    @property
    def contradicted(self) -> bool:
        """Whether the chain is far from the length that is usual at the stature."""
        return self.features[FEATURES.index("stature")] > CONTRADICTS


def evidence_of(
    skeleton: Skeleton,
    posture: PostureEstimate,
    *,
    stature: float | None,
    score: float,
    angle: float | None,
    missing: float,
    distance: float,
    limits: QualityLimits,
) -> Evidence:
    """Return what a frame says about the length of the body.

    Args:
        skeleton: of the only person, with at least one observed joint.
        posture: of the skeleton.
        stature: metres; None if the frame does not tell it.
        score: mean score of the person's keypoints.
        angle: of the camera above the horizontal, in degrees; None if unknown.
        missing: share of the depth map's pixels without a measurement.
        distance: metres from the camera.
        limits: with the estimator's `min_score`. If they are strict, the length is that of the chain alone.
    """
    lies = posture.posture is Posture.LYING
    low, high = limits.camera_angle
    beyond = 0.0 if angle is None or lies else max(low - angle, angle - high)
    length, (left, right) = max(skeleton.reliable_length, _SHORTEST), skeleton.lengths()
    usual = None if stature is None else usual_length(stature)
    apart = 0.0 if usual is None else _log_ratio(length, usual)
    chain = min(_CHAINS, key=lambda each: int((~skeleton.observed[list(each)]).sum()))
    # Of the middles of both sides: eyes, hips, knees, ankles.
    middle = skeleton.joints[np.array(_CHAINS)].mean(axis=0)
    above, *below = np.linalg.norm(np.diff(middle, axis=0), axis=1).tolist()
    straight = float(np.linalg.norm(middle[0] - middle[-1]))
    build = fit_build(skeleton.joints, skeleton.observed)
    usual_above, usual_legs = build["trunk"] + build["neck"], build["thigh"] + build["shank"]
    sure = _SURE_SCORE * (limits.min_score or 1.0)
    values = (
        beyond / 10,
        distance - limits.distance[1],
        10 * (limits.distance[0] - distance),
        missing - limits.max_missing,
        1 - score / min(sure, 1.0),
        float((~skeleton.observed[list(chain)]).sum()),
        abs(_log_ratio(left, right)),
        _log_ratio(above + sum(below), straight),
        abs(_log_ratio(above, sum(below)) - _log_ratio(usual_above, usual_legs)),
        abs(_log_ratio(length, usual_above + usual_legs)),
        float(lies),
        abs(apart),
        float(usual is None),
    )
    if usual is not None and not limits.strict:
        length = usual * float(np.exp(np.clip(_CHAIN_SHARE * apart, -_MOST_MOVED, _MOST_MOVED)))
    return Evidence(
        length, tuple(float(np.clip(value, 0, most)) for value, most in zip(values, _MOST, strict=True))
    )


def usual_length(stature: float) -> float:
    """Return the body length in metres that is usual at a stature in metres.

    >>> round(usual_length(0.9), 3)
    0.779
    """
    constant, slope = _USUAL
    return stature * (constant + slope * stature)


def _log_ratio(a: float, b: float) -> float:
    return float(np.log(max(a, _SHORTEST) / max(b, _SHORTEST)))


@dataclass(frozen=True)
class ErrorModel:
    """The constants of the model of errors. Errors are natural logarithms: about relative errors.

    Attributes:
        constant: logarithm of the expected error of a frame whose features are all 0.
        coefficients: of the features, in their order; none is negative, so no flag makes a frame better.
        scan: constant and coefficients of the expected error of a scan: of the logarithm of the frames'
            combined expected error, and of how far the frames are apart.
        intervals: the quantiles of the error of a scan, divided by its expected size: (2.5 %, 97.5 %) for
            standing, and for lying.
        measured: what they were measured with, for a person to read.
    """

    constant: float
    coefficients: tuple[float, ...]
    scan: tuple[float, float, float]
    intervals: tuple[tuple[float, float], tuple[float, float]]
    measured: str

    def expected_error(self, evidence: Evidence) -> float:
        """Return the expected size of the error of one frame's length, as a share of the length."""
        return float(np.exp(self.constant + np.dot(self.coefficients, evidence.features)))

    def weight(self, evidence: Evidence) -> float:
        """Return how much a frame counts, 0 to 1, compared with one whose features are all 0.

        It is 0 if the expected error is above `SAYS_NOTHING`.
        """
        if self.expected_error(evidence) > SAYS_NOTHING:
            return 0.0
        return float(np.exp(-2 * np.dot(self.coefficients, evidence.features)))

    def spread(self, frames: Sequence[Evidence]) -> tuple[float, NDArray[np.float64]]:
        """Return the weighted median of the frames' lengths, and what tells how far off it may be, (3,)."""
        errors = np.array([self.expected_error(frame) for frame in frames])
        logs, weights = np.log([frame.length for frame in frames]), errors**-2
        middle = weighted_median(logs, weights)
        combined = float(np.mean(weights)) ** -0.5
        apart = float(np.average(np.abs(logs - middle), weights=weights))
        return float(np.exp(middle)), np.array([1.0, np.log(combined), np.log1p(apart / combined)])

    def estimate(self, frames: Sequence[Evidence], value: float | None = None) -> Estimate:
        """Return the length of the body with its 95 % interval.

        Args:
            frames: at least one.
            value: the length, if it is not the weighted median.
        """
        median, facts = self.spread(frames)
        length = median if value is None else value
        expected = float(np.exp(facts @ self.scan))
        quantiles = self.intervals[mostly_lying(frames)]
        low, high = (length * float(np.exp(quantile * expected)) for quantile in quantiles)
        return Estimate(
            value=round(length, 5), low=round(min(low, length), 5), high=round(max(high, length), 5)
        )


def mostly_lying(frames: Sequence[Evidence]) -> bool:
    """Return whether the body lies in more than half of the frames."""
    return 2 * sum(frame.lying for frame in frames) > len(frames)


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the weighted median of values (N,): of equal weights, it is the median.

    >>> weighted_median(np.array([1.0, 2.0, 9.0, 4.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    3.0
    >>> weighted_median(np.array([1.0, 2.0, 9.0]), np.array([5.0, 1.0, 1.0]))
    1.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    ends = [order[int(np.searchsorted(reached, 0.5 + shift))] for shift in (-1e-9, 1e-9)]
    return float(values[ends].mean())


@cache
def error_model() -> ErrorModel:
    """Return the model of errors that the package has, as measured."""
    facts: dict[str, Any] = json.loads((resources.files("pose") / "data" / FILE).read_text("utf-8"))
    coefficients = tuple(float(facts["coefficients"][name]) for name in FEATURES)
    (low, high), (lying_low, lying_high) = facts["intervals"]
    a, b, c = facts["scan"]
    intervals = (low, high), (lying_low, lying_high)
    return ErrorModel(float(facts["constant"]), coefficients, (a, b, c), intervals, facts["measured"])


def to_json(model: ErrorModel) -> str:
    """Return the file of a model of errors."""
    named = dict(zip(FEATURES, model.coefficients, strict=True))
    return json.dumps(asdict(model) | {"coefficients": named}, indent=1) + "\n"

"""Measure how far off body lengths are on rendered scans, and set the constants of their intervals.

`make length-error` measures them (`pose.analysis.length_error` says what they mean) and writes
`pose/data/length-error.json`. With `--check` it only prints, for other scans, how many intervals hold the
truth.

A third of the scans follow the scanning guidelines, a third do not, and a third are more varied: seen from
afar, from above, in clutter. In half of the scans the keypoints err as those of real people do: eyes, hips,
knees and ankles are too high or too low in all frames. The truth is the median over a scan's frames, as a
child's chain from eye to ankle changes a little with its pose. Scans in which no frame shows exactly one
person say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

import pose
from pose import keypoints as kp
from pose.analysis.body import measure_body
from pose.analysis.length_error import (
    FEATURES,
    FILE,
    ErrorModel,
    Evidence,
    error_model,
    mostly_lying,
    to_json,
)
from pose.estimators.base import Person
from pose.evaluation.harness import (
    POSTURES,
    Device,
    Weights,
    load_depth_network,
    print_report,
    progress,
    render_scan,
    share,
)
from pose.lifting.lift import lift_in_view

KINDS: Final = ("careful", "careless", "varied")
FIRST_SEED: Final = 200_000  # of the scans that the constants are from
FIRST_CHECKED: Final = 400_000  # of those that they are checked with
COVERED: Final = 0.95
# Deviation of the error that all frames of a scan share, in torso lengths.
# The errors of the depth network on real children are about as large.
_BIAS: Final = 0.05
_BIASED: Final = (
    kp.HEAD,
    (kp.LEFT_HIP, kp.RIGHT_HIP),
    (kp.LEFT_KNEE, kp.RIGHT_KNEE),
    (kp.LEFT_ANKLE, kp.RIGHT_ANKLE),
)
_FOLDS: Final = 5  # parts of the scans, see `fit`
_STEPS: Final = 100  # of Newton's method, which needs about 20
_DAMPING: Final = 1e-6
_RIDGE: Final = 1e-3  # keeps coefficients of what hardly any scan shows near 0


@dataclass(frozen=True)
class Measured:
    """One scan: what its frames say, and the truth in metres: of each of these frames, and of the scan."""

    kind: str
    posture: str
    frames: list[Evidence]
    true_lengths: list[float]
    truth: float


def measure_scan(estimator: pose.Estimator, seed: int, posture: str, kind: str) -> Measured:
    """Return what the frames of a rendered scan say about the body's length."""
    scan, renderings = render_scan(seed, posture, careful=kind == "careful", varied=kind == "varied")
    limits = pose.QualityLimits().of(estimator)
    lengths = [rendering.scene.people[0].length for rendering in renderings]
    measured = Measured(kind, posture, [], [], float(np.median(lengths)))
    for frame, found, length in zip(scan.frames, estimator.detect(scan.frames), lengths, strict=True):
        if len(found.people) == 1:
            (person,) = found.people
            person = biased(person, seed) if seed // 6 % 2 else person
            skeleton = lift_in_view(frame.view, person.keypoints, person.scores, "inside", frame.floor)
            body = measure_body(frame, person, skeleton, limits)
            if body is not None:
                measured.frames.append(body.evidence)
                measured.true_lengths.append(length)
    return measured


def biased(person: Person, seed: int) -> Person:
    """Return a person whose keypoints are too high or too low along the trunk, equally for an equal seed."""
    keypoints = person.keypoints.copy()
    shoulders, hips = (keypoints[list(pair)].mean(axis=0) for pair in (kp.TORSO[:2], kp.TORSO[2:]))
    biases = np.random.default_rng([seed, 5]).normal(0, _BIAS, len(_BIASED))
    for joints, bias in zip(_BIASED, biases, strict=True):
        keypoints[list(joints)] += bias * (shoulders - hips)
    return replace(person, keypoints=keypoints)


def measure(estimator: pose.Estimator, scans: int, first_seed: int) -> list[Measured]:
    """Return what rendered scans of all kinds say, without those that say nothing."""
    found = [
        measure_scan(
            estimator, first_seed + number, POSTURES[number // len(KINDS) % 2], KINDS[number % len(KINDS)]
        )
        for number in progress(scans, "scans")
    ]
    return [each for each in found if each.frames]


def fit(scans: Sequence[Measured], measured: str) -> ErrorModel:
    """Return the model of errors of measured scans.

    The coefficients of frames and of scans are those of the greatest likelihood, if errors have a Laplace
    distribution: that of few large errors. The quantiles are of errors that are divided by the size which the
    other scans, without these, let expect (Vovk, "Cross-conformal predictors", 2015).
    """
    folds = [_ratios(scans, fold) for fold in range(_FOLDS)]
    ratios, lying = (np.concatenate(each) for each in zip(*folds, strict=True))
    standing, lying_ones = (_interval(ratios, lying == each) for each in (False, True))
    model = _fit_sizes(scans)
    return ErrorModel(
        round(model.constant, 4),
        tuple(round(each, 4) for each in model.coefficients),
        (round(model.scan[0], 4), round(model.scan[1], 4), round(model.scan[2], 4)),
        (standing, lying_ones),
        measured,
    )


def _interval(ratios: NDArray[np.float64], chosen: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the interval of the chosen ratios, of all if none is chosen."""
    low, high = conformal_interval(ratios[chosen] if chosen.any() else ratios, COVERED)
    return round(low, 4), round(high, 4)


def _ratios(scans: Sequence[Measured], fold: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the errors of the scans of a fold, divided by their expected size, and which of them lie."""
    model = _fit_sizes([scan for number, scan in enumerate(scans) if number % _FOLDS != fold])
    facts, errors = _errors(model, scans[fold::_FOLDS])
    lying = np.array([mostly_lying(scan.frames) for scan in scans[fold::_FOLDS]])
    return np.asarray(errors / np.exp(facts @ model.scan)), lying


def _fit_sizes(scans: Sequence[Measured]) -> ErrorModel:
    """Return a model of errors of which only the interval is not measured."""
    features = np.array([frame.features for scan in scans for frame in scan.frames])
    lengths = np.array([frame.length for scan in scans for frame in scan.frames])
    truths = np.array([length for scan in scans for length in scan.true_lengths])
    constant, *coefficients = fit_scale(_with_constant(features), np.log(truths / lengths), smallest=0.0)
    model = ErrorModel(constant, tuple(coefficients), (0.0, 1.0, 0.0), ((-1.0, 1.0), (-1.0, 1.0)), "")
    a, b, c = fit_scale(*_errors(model, scans), smallest=0.0)
    return replace(model, scan=(a, b, c))


def _with_constant(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack((np.ones(len(features)), features))


def _errors(model: ErrorModel, scans: Sequence[Measured]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what tells a scan's error, (N, 3), and the errors (N,): log(truth / length)."""
    found = [model.spread(scan.frames) for scan in scans]
    errors = [np.log(scan.truth / length) for scan, (length, _) in zip(scans, found, strict=True)]
    return np.array([facts for _, facts in found]), np.array(errors)


def fit_scale(
    facts: NDArray[np.float64], errors: NDArray[np.float64], smallest: float | None = None
) -> list[float]:
    """Return the coefficients (K,) with which exp(facts @ coefficients) is the expected size of the errors.

    It is the maximum of the likelihood of a Laplace distribution, which is a convex problem.

    Args:
        facts: (N, K), the first column 1.
        errors: (N,).
        smallest: of all coefficients but that of the first column.
    """

    least = np.r_[-np.inf, np.full(facts.shape[1] - 1, -np.inf if smallest is None else smallest)]
    ridge = 2 * _RIDGE * np.r_[0.0, np.ones(facts.shape[1] - 1)]

    def loss(at: NDArray[np.float64]) -> float:
        logs = facts @ at
        return float(np.mean(logs + np.abs(errors) * np.exp(-logs)) + ridge @ at**2 / 2)

    # Newton's method, in which coefficients that would leave their bounds stay there (Bertsekas, "Projected
    # Newton methods for optimization problems with simple constraints", 1982).
    found = np.r_[np.log(np.abs(errors).mean()), np.maximum(least[1:], 0.0)]
    for _ in range(_STEPS):
        ratios = np.abs(errors) * np.exp(-facts @ found)
        slope = facts.T @ (1 - ratios) / len(errors) + ridge * found
        free = (found > least) | (slope < 0)
        curve = (facts * ratios[:, None]).T @ facts / len(errors) + np.diag(ridge + _DAMPING)
        step = np.zeros_like(found)
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        size = 1.0
        while size > _DAMPING and loss(np.maximum(found - size * step, least)) > loss(found):
            size /= 2
        found = np.maximum(found - size * step, least)
    return [float(each) for each in found]


def conformal_interval(ratios: NDArray[np.float64], covered: float) -> tuple[float, float]:
    """Return the interval that holds the next ratio with this probability, half of the rest on either side.

    It is that of split conformal prediction: the k-th smallest and the k-th largest of N ratios, with
    k = (N + 1) * (1 - covered) / 2 rounded down.

    >>> conformal_interval(np.arange(199.0), 0.95)
    (4.0, 194.0)
    """
    number = len(ratios)
    k = max(1, int((number + 1) * (1 - covered) / 2 + 1e-9))
    ordered = np.sort(ratios)
    return float(ordered[k - 1]), float(ordered[number - k])


def report(model: ErrorModel, scans: Sequence[Measured]) -> dict[str, Any]:
    """Return, for all scans and for each kind, how many intervals hold the truth, and how wide they are."""
    groups = {"all": list(scans)}
    groups |= {kind: [scan for scan in scans if scan.kind == kind] for kind in KINDS}
    groups |= {posture: [scan for scan in scans if scan.posture == posture] for posture in POSTURES}
    return {name: _report_group(model, group) for name, group in groups.items()}


def _report_group(model: ErrorModel, scans: Sequence[Measured]) -> dict[str, Any]:
    estimates = [model.estimate(scan.frames) for scan in scans]
    held = [each.low <= scan.truth <= each.high for each, scan in zip(estimates, scans, strict=True)]
    if not scans:
        return {"scans": 0}
    widths = [each.half_width / each.value for each in estimates]
    errors = [abs(each.value - scan.truth) / scan.truth for each, scan in zip(estimates, scans, strict=True)]
    return {
        "scans": len(scans),
        "interval_holds_truth": share(sum(held), len(held)),
        **{
            f"{name}_percent_p{percent}": round(100 * float(np.percentile(values, percent)), 2)
            for name, values in (("half_width", widths), ("error", errors))
            for percent in (10, 50, 90)
        },
    }


def main(
    scans: Annotated[int, typer.Option(min=1, max=FIRST_CHECKED - FIRST_SEED, help="Rendered scans.")] = 900,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the constants, with other scans.")
    ] = False,
    weights: Weights = None,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option(help="File for the constants. Default: the package's.")] = None,
) -> None:
    """Measure the errors of body lengths; write the constants of their intervals, or check them."""
    estimator = load_depth_network(weights, device)
    found = measure(estimator, scans, FIRST_CHECKED if check else FIRST_SEED)
    if check:
        print_report(report(error_model(), found))
        return
    model = fit(found, f"{estimator.name} {estimator.version}, {scans} rendered scans")
    file = Path(str(resources.files("pose") / "data" / FILE)) if out is None else out
    file.write_text(to_json(model), "utf-8")
    print_report(
        {"file": FILE, **dict(zip(FEATURES, model.coefficients, strict=True)), **report(model, found)}
    )


if __name__ == "__main__":
    typer.run(main)

"""The verdict on a scan, and its reasons."""

from dataclasses import replace

import numpy as np
import pytest

from pose import Posture, PostureEstimate, QualityLimits, Skeleton, Verdict
from pose.analysis import quality
from pose.analysis.aggregate import ScanFigures
from pose.analysis.body import Body
from pose.analysis.length_error import FEATURES, Evidence
from pose.analysis.verdict import GOOD, USABLE, WORDS, JudgedFrame, judge
from pose.results import Estimate, FrameResult, FrameStatus

STANDING = PostureEstimate(Posture.STANDING, 0.9)


def figures(half_width=0.03, posture=STANDING, disagree=False):
    """Figures of a scan with a body length of 1 m."""
    return ScanFigures(posture, Estimate(value=1.0, low=1 - half_width, high=1 + half_width), 1, disagree)


NOTHING = ScanFigures(PostureEstimate(Posture.UNKNOWN), None, 0)


def frame(order=0, codes=(), status=FrameStatus.OK, hidden=(), outside=(), angle=-5.0, distance=1.0):
    result = FrameResult(
        order=order, status=status, reason=None, people=(), floor_height_m=None, camera_angle_deg=angle,
        missing_depth=0.0, child_distance_m=distance, quality=tuple(codes), picture=None,
    )  # fmt: skip
    if status is not FrameStatus.OK:
        return JudgedFrame(result, None)
    observed, inside = np.ones(17, bool), np.ones(17, bool)
    observed[[*hidden, *outside]] = False
    inside[list(outside)] = False
    skeleton = Skeleton(np.zeros((17, 3)), np.ones(17), np.zeros(17), observed)
    return JudgedFrame(result, Body(skeleton, STANDING, 1.0, inside, Evidence(1.0, (0.0,) * len(FEATURES))))


def judged(found, *frames):
    verdict, reasons = judge(found, frames, QualityLimits())
    return verdict, {reason.code: reason.text for reason in reasons}


@pytest.mark.parametrize(
    ("half_width", "verdict"),
    [(GOOD, Verdict.GOOD), (GOOD + 0.01, Verdict.USABLE), (USABLE, Verdict.USABLE), (0.5, Verdict.REPEAT)],
)
def test_the_verdict_is_by_the_width_of_the_interval(half_width, verdict):
    assert judged(figures(half_width), frame())[0] is verdict


def test_a_scan_of_unknown_posture_is_at_most_usable():
    found = figures(posture=PostureEstimate(Posture.UNKNOWN))
    assert judged(found, frame())[0] is Verdict.USABLE
    assert "posture_unknown" in judged(found, frame())[1]


def contradicted(order):
    """A frame whose body length does not fit the stature."""
    judged_frame = frame(order)
    assert judged_frame.body is not None
    features = tuple(0.1 * (name == "stature") for name in FEATURES)
    return replace(judged_frame, body=replace(judged_frame.body, evidence=Evidence(1.0, features)))


def test_a_scan_whose_body_length_does_not_fit_the_stature_is_at_most_usable():
    verdict, reasons = judged(figures(), contradicted(0), contradicted(1), frame(2))
    assert verdict is Verdict.USABLE
    assert "stature" in reasons["stature_differs"]
    assert judged(figures(0.5), contradicted(0))[0] is Verdict.REPEAT


def test_one_frame_of_many_that_does_not_fit_the_stature_leaves_a_scan_good():
    assert judged(figures(), contradicted(0), frame(1), frame(2)) == (Verdict.GOOD, {})


def test_without_figures_a_scan_is_repeated_and_says_why():
    nobody = frame(codes=("person_count", "missing_depth"), status=FrameStatus.NO_PERSON)
    several = frame(codes=("person_count",), status=FrameStatus.SEVERAL_PERSONS)
    broken = frame(status=FrameStatus.INVALID)
    for given, code in ((nobody, "no_person"), (several, "several_persons"), (broken, "unreadable")):
        verdict, reasons = judged(NOTHING, given)
        assert verdict is Verdict.REPEAT
        assert list(reasons) == [code]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"codes": ("camera_angle",), "angle": -34.6}, "hold the phone more level: it looks 35 degrees down"),
        ({"codes": ("camera_angle",), "angle": 15.0}, "hold the phone more level: it looks 15 degrees up"),
        ({"codes": ("too_near",), "distance": 0.12}, "step back: 0.4 m"),
        ({"codes": ("too_near",), "distance": 0.499}, "step back: 0.1 m"),
        ({"codes": ("too_far",), "distance": 1.9}, "step closer: 0.4 m"),
        ({"outside": (15, 16)}, "the feet are not in the picture"),
        ({"outside": (1, 2)}, "the head is not in the picture"),
        ({"hidden": (15, 16)}, "the feet are hidden: move blankets and other things away from them"),
        (
            {"hidden": (11, 12, 13, 14)},
            "hips or knees are hidden: move arms, blankets and clothes away from them",
        ),
    ],
)
def test_each_fault_has_words_that_say_what_to_do(given, text):
    assert list(judged(figures(), frame(**given))[1].values()) == [text]


def test_one_hidden_side_is_no_fault():
    assert judged(figures(), frame(hidden=(1, 11, 13, 15)))[1] == {}


def test_only_what_half_of_the_frames_show_is_a_reason_and_the_most_frequent_comes_first():
    frames = [
        frame(0, ("camera_angle", "too_far"), angle=-30.0, distance=1.7),
        frame(1, ("too_far",), distance=1.8),
        frame(2, ("too_far", "score"), distance=1.9),
        frame(3, ("camera_angle",), angle=-40.0),
    ]
    verdict, reasons = judge(figures(), frames, QualityLimits())
    assert verdict is Verdict.GOOD
    assert [(reason.code, reason.frames) for reason in reasons] == [
        ("too_far", (0, 1, 2)),
        ("camera_angle", (0, 3)),
    ]
    assert reasons[0].text == "step closer: 0.3 m"
    assert "35 degrees down" in reasons[1].text


def test_a_scan_that_is_not_good_has_a_reason_even_if_its_frames_have_few():
    rare = [frame(0, ("too_far",), distance=1.7), frame(1), frame(2)]
    assert list(judged(figures(0.1), *rare)[1]) == ["too_far", "uncertain"]
    assert list(judged(figures(0.1), frame())[1]) == ["uncertain"]
    assert list(judged(figures(0.1, disagree=True), frame())[1]) == ["frames_disagree"]


def test_every_code_of_a_quality_limit_has_words():
    codes = {line.split()[0] for line in str(quality.__doc__).splitlines() if line.startswith("    ")}
    assert len(codes) >= 12
    assert codes - {"person_count"} <= set(WORDS)

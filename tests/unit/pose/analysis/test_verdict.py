from __future__ import annotations

from pathlib import Path

import pytest

import pose
from pose.analysis.aggregate import ScanFigures
from pose.analysis.quality import QualityLimits
from pose.analysis.verdict import GOOD, USABLE, WORDS, JudgedFrame, judge
from pose.lifting.posture import Posture, PostureEstimate
from pose.results import Estimate, FrameResult, FrameStatus

ROOT = Path(__file__).parents[4]


def figures(half: float | None, posture: Posture = Posture.STANDING, *, apart: bool = False) -> ScanFigures:
    length = None if half is None else Estimate(value=1.0, low=1.0 - half, high=1.0 + half)
    return ScanFigures(PostureEstimate(posture, 0.9), length, 0 if half is None else 1, apart)


def nobody(order: int = 0) -> JudgedFrame:
    result = FrameResult(
        order=order, status=FrameStatus.NO_PERSON, reason=None, people=(), floor_height_m=None,
        camera_angle_deg=-40.0, missing_depth=0.1, child_distance_m=None,
        quality=("person_count", "camera_angle"), picture=None,
    )  # fmt: skip
    return JudgedFrame(result, None)


@pytest.mark.parametrize(
    ("half", "verdict"),
    [
        (GOOD, "good"),
        (GOOD + 0.01, "usable"),
        (USABLE, "usable"),
        (USABLE + 0.01, "repeat"),
        (None, "repeat"),
    ],
)
def test_the_width_of_the_interval_decides(half, verdict):
    assert judge(figures(half), [nobody()], QualityLimits())[0] == verdict


def test_a_scan_of_unknown_posture_is_not_good_and_says_so():
    verdict, reasons = judge(figures(0.01, Posture.UNKNOWN), [nobody()], QualityLimits())
    assert verdict is pose.Verdict.USABLE
    assert "posture_unknown" in [reason.code for reason in reasons]


def test_frames_that_differ_are_named_as_the_reason_of_a_wide_interval():
    codes = [r.code for r in judge(figures(0.1, apart=True), [nobody()], QualityLimits())[1]]
    assert "frames_disagree" in codes
    assert "uncertain" not in codes


def test_without_a_person_no_other_limit_is_a_reason():
    (reason,) = judge(figures(None), [nobody(0), nobody(1)], QualityLimits())[1]
    assert (reason.code, reason.frames) == ("no_person", (0, 1))


def test_steps_are_rounded_up_to_what_a_person_can_do():
    assert WORDS["too_near"](0.31) == "step back: 0.4 m"
    assert WORDS["too_far"](0.01) == "step closer: 0.1 m"


def test_the_documentation_lists_each_code():
    text = (ROOT / "docs/results.md").read_text("utf-8")
    assert [code for code in WORDS if f"| `{code}` |" not in text] == []

"""Scans of a phone that is held another way, and of wrong steps."""

from __future__ import annotations

import numpy as np
import pytest

from pose import Scan
from pose.evaluation.handling import PLAIN, Handling, parse_handling
from tests.support.rendered import rendered


def scan(posture: str) -> Scan:
    frame = rendered(900_000, posture).frame
    return Scan(frame.step, (frame,), (), "0" * 64)


@pytest.mark.parametrize(
    ("text", "handling"),
    [
        ("plain", PLAIN),
        ("upside", Handling(roll=180)),
        ("roll:-33.5", Handling(roll=-33.5)),
        ("step:200", Handling(step=200)),
        ("upside,step:other,pose:none", Handling(180, None, True, False)),
    ],
)
def test_a_text_says_how_the_phone_is_handled(text: str, handling: Handling):
    assert parse_handling(text) == handling


@pytest.mark.parametrize("text", ["", "roll", "roll:left", "step:", "pose:some", "plain,upside", "upside,"])
def test_another_text_is_refused(text: str):
    with pytest.raises(ValueError, match=r"handling is .*expected plain, upside"):
        parse_handling(text)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_the_other_step_is_that_of_the_other_posture(posture: str):
    right = scan(posture)
    other = Handling(other_posture=True).applied(right)
    assert other.declared == {"standing": "lying", "lying": "standing"}[posture]
    assert other.frames[0].step == other.step
    assert Handling(step=999).applied(right).frames[0].step == 999
    assert PLAIN.applied(right).frames[0].depthmap is right.frames[0].depthmap


def test_without_its_pose_the_phone_knows_no_gravity():
    depthmap = Handling(pose_known=False).applied(scan("standing")).frames[0].depthmap
    assert not depthmap.pose_known
    assert (depthmap.rotation == np.eye(3)).all()

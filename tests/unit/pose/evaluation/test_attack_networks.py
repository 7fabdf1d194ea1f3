"""Networks that try to undo a cover find what is there, and nothing where nothing is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pose.evaluation.attack_networks import name_them, redraw_them

PEOPLE, EACH, SIZE = 4, 16, 32


def pictures(seed, told=True):
    """Pictures of one pattern a person on a mean that differs each time, and their people's numbers."""
    patterns = np.random.default_rng(0).normal(0, 40, (PEOPLE, 4, 4, 3)).astype(np.float32)
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(PEOPLE), EACH)
    shown = []
    for person in who:
        pattern = cv2.resize(patterns[person], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        shown.append(128 + rng.normal(0, 15) + (pattern if told else 0) + rng.normal(0, 10, (SIZE, SIZE, 3)))
    return np.clip(np.array(shown), 0, 255).astype(np.uint8), who


@pytest.fixture(scope="module")
def everywhere():
    return np.ones((PEOPLE * EACH, SIZE, SIZE), np.bool_)


def test_people_who_can_be_told_apart_are_named():
    lessons, who = pictures(1)
    questions, truth = pictures(2)
    assert name_them(lessons, who, questions, truth, 40) > 0.9


def test_people_of_whom_nothing_is_shown_are_not():
    lessons, who = pictures(1, told=False)
    questions, truth = pictures(2, told=False)
    assert name_them(lessons, who, questions, truth, 40) < 0.5  # chance is 0.25


def test_what_is_shown_is_redrawn(everywhere):
    lessons, _ = pictures(1)
    questions, _ = pictures(2)
    errors = redraw_them(lessons, lessons, everywhere, questions, questions, everywhere, 40)
    assert errors["redrawn"] < 0.5
    assert errors["redrawn_features"] < 0.5


def test_what_is_not_shown_is_not_redrawn(everywhere):
    lessons, _ = pictures(1)
    questions, _ = pictures(2)
    grey = np.full_like(lessons, 128)
    errors = redraw_them(grey, lessons, everywhere, grey, questions, everywhere, 40)
    assert errors["redrawn"] > 0.9
    assert errors["redrawn_features"] > 0.9

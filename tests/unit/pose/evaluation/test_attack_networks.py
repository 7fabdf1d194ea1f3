"""The attacks find what an image shows, and nothing in an image that shows nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pose.evaluation.attack_networks import identification_accuracy, reconstruction_errors

PEOPLE, EACH, SIZE = 4, 16, 32


def pictures(seed, patterned=True):
    """Pictures with one pattern for each person on a random mean, and the numbers of the people."""
    patterns = np.random.default_rng(0).normal(0, 40, (PEOPLE, 4, 4, 3)).astype(np.float32)
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(PEOPLE), EACH)
    shown = []
    for person in who:
        pattern = cv2.resize(patterns[person], (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        mean = 128 + rng.normal(0, 15)
        shown.append(mean + (pattern if patterned else 0) + rng.normal(0, 10, (SIZE, SIZE, 3)))
    return np.clip(np.array(shown), 0, 255).astype(np.uint8), who


@pytest.fixture(scope="module")
def everywhere():
    return np.ones((PEOPLE * EACH, SIZE, SIZE), np.bool_)


def test_people_with_different_patterns_are_identified():
    train, identities = pictures(1)
    test, true_identities = pictures(2)
    assert identification_accuracy(train, identities, test, true_identities, 40) > 0.9


def test_people_without_a_pattern_are_not_identified():
    train, identities = pictures(1, patterned=False)
    test, true_identities = pictures(2, patterned=False)
    assert identification_accuracy(train, identities, test, true_identities, 40) < 0.5  # chance is 0.25


def test_a_visible_pattern_is_reconstructed(everywhere):
    train, _ = pictures(1)
    test, _ = pictures(2)
    errors = reconstruction_errors(train, train, everywhere, test, test, everywhere, 40)
    assert errors["redrawn"] < 0.5
    assert errors["redrawn_features"] < 0.5


def test_a_hidden_pattern_is_not_reconstructed(everywhere):
    train, _ = pictures(1)
    test, _ = pictures(2)
    grey = np.full_like(train, 128)
    errors = reconstruction_errors(grey, train, everywhere, grey, test, everywhere, 40)
    assert errors["redrawn"] > 0.9
    assert errors["redrawn_features"] > 0.9

"""All heads of a frame, with those of low-confidence detections."""

from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.estimators.base import Person
from pose.geometry.view import View
from pose.privacy.find_heads import find_all_heads
from pose.privacy.region import region_mask
from tests.support.rendered import headless, person, two_people, with_face

HEAD = list(kp.HEAD)


def head_only(at, score=0.06, box=None):
    """A head as the depth network detects it: all keypoints in its middle."""
    scores = np.zeros(kp.COUNT)
    scores[HEAD] = score
    u, v = (float(value) for value in at)
    return Person(np.tile((u, v), (kp.COUNT, 1)), scores, box or (u - 30, v - 30, u + 30, v + 30), score)


def heads_of(truth, people, low_confidence):
    found = find_all_heads(people, low_confidence, truth.frame.view)
    return found, region_mask(found.regions, truth.frame.picture_size)


def middle_of(someone):
    return someone.keypoints[HEAD].mean(axis=0)


def test_a_low_confidence_head_is_redacted():
    truth = two_people()
    child, helper = truth.people
    _, alone = heads_of(truth, [child], [])
    found, both = heads_of(truth, [child], [head_only(middle_of(helper))])
    assert truth.face[alone].sum() < 0.9 * truth.face.sum()
    assert truth.face[both].sum() > 0.97 * truth.face.sum()
    assert found.reason is None
    assert [region.placed_by for region in found.regions] == ["head", "low confidence"]


def test_a_second_detection_of_a_head_has_the_size_of_the_first():
    truth = with_face()
    found, both = heads_of(truth, truth.people, [head_only(middle_of(truth.people[0]) + 3)])
    own, again = found.regions
    assert again.radius_px == own.radius_px
    _, alone = heads_of(truth, truth.people, [])
    assert (both | alone).sum() == both.sum()
    assert both.sum() < 1.3 * alone.sum()


def test_a_low_confidence_detection_with_a_body_is_placed_like_a_person():
    truth = two_people()
    child, helper = truth.people
    found, mask = heads_of(truth, [child], [replace(helper, scores=helper.scores * 0.3)])
    assert truth.face[mask].sum() > 0.99 * truth.face.sum()
    assert found.regions[1].placed_by == "low confidence"


def test_every_keypoint_of_a_low_confidence_detection_counts():
    truth = two_people()
    child, helper = truth.people
    found, mask = heads_of(truth, [child], [replace(helper, scores=helper.scores * 0.05)])
    assert truth.face[mask].sum() > 0.97 * truth.face.sum()
    x0, _, x1, _ = helper.box
    assert found.regions[1].radius_px < (x1 - x0) / 2  # its head, not its whole box


def test_the_whole_box_of_a_low_confidence_detection_is_redacted_if_its_head_cannot_be_placed():
    truth = with_face()
    nothing = replace(person(truth.people[0].keypoints, 0.0), box=(200.0, 100.0, 260.0, 180.0))
    found, mask = heads_of(truth, truth.people, [nothing])
    assert found.reason is None
    assert mask[100:181, 200:261].all()


def test_the_box_of_a_low_confidence_detection_without_depth_is_redacted():
    truth = with_face()
    blank = replace(truth.frame.depthmap, depth=np.zeros_like(truth.frame.depthmap.depth))
    found = find_all_heads([], [head_only((160, 120))], View(blank, truth.frame.color))
    assert region_mask(found.regions, truth.frame.picture_size)[91:150, 131:190].all()


def test_low_confidence_detections_do_not_count_as_people():
    truth = with_face()
    found, mask = heads_of(truth, [], [head_only(middle_of(truth.people[0]))])
    assert "nobody was found" in str(found.reason)
    assert mask.any()


def test_a_low_confidence_detection_does_not_replace_a_head_that_cannot_be_placed():
    truth = with_face()
    lost = replace(person(truth.people[0].keypoints, 0.0), box=truth.people[0].box)
    found, mask = heads_of(truth, [lost], [head_only(middle_of(truth.people[0]), 0.6)])
    assert "could not be placed" in str(found.reason)
    assert mask.any()


@pytest.mark.parametrize("first", [True, False])
def test_a_head_that_cannot_be_placed_does_not_remove_the_others(first):
    truth = two_people()
    child, helper = truth.people
    lost = headless(helper.keypoints)
    found, mask = heads_of(truth, [lost, child] if first else [child, lost], [])
    assert "could not be placed" in str(found.reason)
    alone, _ = heads_of(truth, [child], [])
    assert [region.centre for region in found.regions] == [region.centre for region in alone.regions]
    assert mask.any()


def hardly_seen(helper):
    """Somebody whose legs are seen a little."""
    return replace(headless(helper.keypoints), scores=headless(helper.keypoints).scores * 0.6)


def test_somebody_hardly_seen_beside_a_person_does_not_withhold_the_picture():
    child, helper = two_people().people
    found, _ = heads_of(two_people(), [child, hardly_seen(helper)], [])
    assert hardly_seen(helper).score < 0.25
    assert found.reason is None


def test_the_head_of_somebody_hardly_seen_is_redacted_where_it_may_be():
    truth = two_people()
    child, helper = truth.people
    scores = np.where(np.arange(kp.COUNT) < 5, 0.1, hardly_seen(helper).scores)  # the head's own score counts
    found, mask = heads_of(truth, [child, replace(helper, scores=scores)], [])
    assert found.reason is None
    assert truth.face[mask].sum() > 0.99 * truth.face.sum()


@pytest.mark.parametrize("beside", [[], [0.3]])
def test_somebody_hardly_seen_alone_or_beside_nobody_sure_withholds_the_picture(beside):
    child, helper = two_people().people
    people = [replace(child, scores=child.scores / child.score * score) for score in beside]
    found, _ = heads_of(two_people(), [*people, hardly_seen(helper)], [])
    assert "could not be placed" in str(found.reason)

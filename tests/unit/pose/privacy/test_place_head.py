"""Where heads are in a picture."""

from dataclasses import replace

import numpy as np
import pytest

from pose import keypoints as kp
from pose.geometry.view import View
from pose.lifting.anatomy import Build
from pose.privacy.place_head import head_radius, place_head
from pose.privacy.region import HeadNotPlaced, region_mask
from tests.support.rendered import first, person, rendered, two_people, with_face

HEAD = list(kp.HEAD)


def mask_of(truth, people=None, depthmap=None):
    """The mask and the regions of all heads of these people."""
    view = View(depthmap or truth.frame.depthmap, truth.frame.color)
    regions = [place_head(person, view) for person in people or truth.people]
    return region_mask(regions, view.picture_size), regions


def with_scores(someone, **scores):
    values = someone.scores.copy()
    for group, score in scores.items():
        values[{"head": HEAD, "shoulders": [5, 6], "hips": [11, 12], "rest": range(5, 17)}[group]] = score
    return person(someone.keypoints, values)


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_every_pixel_of_every_face_is_in_a_region(posture):
    shown = covered = 0
    for seed in range(900_000, 900_015):
        truth = rendered(seed, posture)
        mask, _ = mask_of(truth)
        shown += truth.face.sum()
        covered += (truth.face & mask).sum()
    assert shown > 5000
    assert covered >= 0.999 * shown


def test_regions_are_less_than_three_times_as_large_as_heads():
    regions = heads = 0
    for seed in range(900_000, 900_015):
        truth = rendered(seed, "standing")
        regions += mask_of(truth)[0].sum()
        heads += truth.head.sum()
    assert regions < 3 * heads


def test_regions_hold_the_faces_with_inaccurate_keypoints():
    rng = np.random.default_rng(0)
    shown = covered = 0
    for seed in range(900_000, 900_015):
        truth = rendered(seed, "standing")
        pixels = 0.015 * truth.frame.color.fx / 1.2
        moved = person(truth.people[0].keypoints + rng.normal(0, pixels, (17, 2)))
        mask, _ = mask_of(truth, [moved])
        shown += truth.face.sum()
        covered += (truth.face & mask).sum()
    assert covered >= 0.999 * shown


def test_a_head_seen_from_behind_is_redacted():
    def seen_from_behind(truth):
        return not truth.face.any() and truth.head.sum() > 200

    behind = [first(seen_from_behind), first(seen_from_behind, posture="lying")]
    for truth in behind:
        mask, _ = mask_of(truth)
        assert (truth.head & mask).sum() > 0.97 * truth.head.sum()


def test_a_head_without_depth_is_redacted():
    truth = with_face()
    depthmap = truth.frame.depthmap
    depth = depthmap.depth.copy()
    u, v = truth.frame.view.to_depth(truth.people[0].keypoints[HEAD]).mean(axis=0).astype(int)
    depth[max(v - 25, 0) : v + 25, max(u - 25, 0) : u + 25] = 0
    mask, _ = mask_of(truth, depthmap=replace(depthmap, depth=depth))
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()


def test_a_region_has_no_holes_and_holds_the_keypoints():
    truth = with_face()
    mask, (region,) = mask_of(truth)
    rows, columns = np.nonzero(mask)
    for row in np.unique(rows):
        across = columns[rows == row]
        assert np.ptp(across) + 1 == across.size
    for u, v in np.rint(truth.people[0].keypoints[HEAD]).astype(int):
        assert mask[v, u]
    assert region.placed_by == "head"


def test_a_head_with_low_scores_is_placed_above_the_trunk_with_a_larger_region():
    truth = with_face()
    _, (sure,) = mask_of(truth)
    doubtful = with_scores(truth.people[0], head=0.02)
    mask, (region,) = mask_of(truth, [doubtful])
    assert region.placed_by == "trunk"
    assert region.radius_px > 1.3 * sure.radius_px
    assert (truth.face & mask).sum() >= 0.98 * truth.face.sum()


def test_the_region_of_an_uncertain_head_includes_the_place_above_the_trunk():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[HEAD] += (8, 10)
    mask, (region,) = mask_of(truth, [with_scores(person(uv), head=0.4)])
    sure, _ = mask_of(truth, [person(uv)])
    assert region.placed_by == "head"
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()
    assert mask.sum() > 1.02 * sure.sum()


def test_the_region_of_a_head_that_depth_does_not_confirm_includes_the_place_above_the_trunk():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[HEAD] += (20, 25)
    mask, (region,) = mask_of(truth, [person(uv)])
    assert region.placed_by == "head"
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()


def without_head(truth):
    """The depth map with a hole where the head is."""
    depthmap = truth.frame.depthmap
    rows, columns = np.nonzero(truth.head)
    at = np.rint(truth.frame.view.to_depth(np.column_stack((columns, rows)))).astype(int)
    depth = depthmap.depth.copy()
    for dv in (-2, 0, 2):
        for du in (-2, 0, 2):
            depth[np.clip(at[:, 1] + dv, 0, 179), np.clip(at[:, 0] + du, 0, 239)] = 0
    return replace(depthmap, depth=depth)


def test_the_region_of_a_head_includes_the_hole_that_it_left_in_the_depth_map():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[HEAD] += (6, 0)  # a network that sees no head guesses
    mask, _ = mask_of(truth, [person(uv)], without_head(truth))
    assert (truth.head & mask).sum() >= 0.97 * truth.head.sum()
    assert mask.sum() < 4 * truth.head.sum()


def headless(truth, score):
    """The depth map without the head, and the child as a network finds it there: its head in its chest."""
    uv = truth.people[0].keypoints.copy()
    shoulders, hips = uv[[5, 6]].mean(axis=0), uv[[11, 12]].mean(axis=0)
    uv[:7] += (hips - shoulders) / 2
    return without_head(truth), with_scores(person(uv), head=score)


def test_a_hole_above_a_guessed_head_is_redacted():
    truth = with_face()
    depthmap, guessed = headless(truth, 0.5)
    mask, (region,) = mask_of(truth, [guessed], depthmap)
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()
    assert (truth.head & mask).sum() >= 0.97 * truth.head.sum()
    assert not region.depth_confirmed


def test_a_hole_is_redacted_only_as_far_as_a_head_can_be_if_the_wall_has_no_depth_either():
    truth = with_face()
    depthmap, guessed = headless(truth, 0.5)
    wall = depthmap.depth > np.median(depthmap.depth[depthmap.depth > 0])
    depthmap = replace(depthmap, depth=np.where(wall, np.float32(0), depthmap.depth))
    mask, _ = mask_of(truth, [guessed], depthmap)
    assert (truth.face & mask).sum() >= 0.98 * truth.face.sum()
    assert mask.mean() < 0.4


def test_holes_beside_a_head_with_high_scores_are_not_redacted():
    truth = with_face()
    depthmap, sure = headless(truth, 0.9)
    _, guessed = headless(truth, 0.59)
    without_hole, with_hole = (mask_of(truth, [one], depthmap)[0] for one in (sure, guessed))
    assert with_hole[truth.head].mean() > 0.97
    assert without_hole[truth.head].mean() < 0.8


def test_a_head_with_scattered_keypoints_of_low_score_cannot_be_placed():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[kp.LEFT_EAR] += (70, 0)
    with pytest.raises(HeadNotPlaced, match="lie apart"):
        mask_of(truth, [with_scores(person(uv), head=0.5)])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"head": 0.5, "shoulders": 0.5}, "shoulders"),  # only the hips are seen
        ({"head": 0.3, "shoulders": 0.4}, "shoulders"),
        ({"head": 0.01, "shoulders": 0.01}, "neither the head nor the trunk"),
    ],
)
def test_a_head_cannot_be_placed_if_head_and_shoulders_have_low_scores(scores, message):
    truth = with_face()
    with pytest.raises(HeadNotPlaced, match=message):
        mask_of(truth, [with_scores(truth.people[0], **scores)])


def test_a_head_far_from_its_trunk_cannot_be_placed():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[HEAD] = uv[[kp.LEFT_ANKLE]]
    with pytest.raises(HeadNotPlaced, match="fit together"):
        mask_of(truth, [person(uv)])


def test_a_head_cannot_be_placed_without_depth():
    truth = with_face()
    empty = replace(truth.frame.depthmap, depth=np.zeros_like(truth.frame.depthmap.depth))
    with pytest.raises(HeadNotPlaced, match="no depth"):
        mask_of(truth, depthmap=empty)


def test_an_outlier_of_the_heads_keypoints_is_redacted_too():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[kp.LEFT_EAR] += (70, 0)
    mask, _ = mask_of(truth, [person(uv)])
    u, v = np.rint(uv[kp.LEFT_EAR]).astype(int)
    assert mask[v, u]
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()


def test_a_head_outside_the_picture_has_an_empty_region():
    truth = with_face()
    uv = truth.people[0].keypoints.copy()
    uv[:, 0] -= uv[[kp.LEFT_HIP, kp.RIGHT_HIP], 0].mean()  # sensor orientation: the head is to the left
    uv[[*HEAD, 5, 6], 0] = np.minimum(uv[[*HEAD, 5, 6], 0], -5)
    mask, (region,) = mask_of(truth, [person(uv)])
    assert region.placed_by == "outside"
    assert not mask.any()


def test_a_head_cut_by_the_border_is_redacted_up_to_the_border():
    cut = [first(lambda truth: truth.head[:, 0].sum() > 5, second_person=both) for both in (False, True)]
    for truth in cut:
        mask, _ = mask_of(truth)
        assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()


def test_each_person_has_a_region():
    truth = two_people()
    mask, regions = mask_of(truth)
    assert len(regions) == len(truth.people) == 2
    assert (truth.face & mask).sum() >= 0.999 * truth.face.sum()


@pytest.mark.parametrize("stature", [0.5, 0.75, 0.9, 1.1, 1.3, 1.7])
def test_the_ball_holds_the_head(stature):
    build = Build(stature)
    half = max(build["head_height"], build["head_depth"])
    assert 1.1 * half < head_radius(build) < 1.4 * half

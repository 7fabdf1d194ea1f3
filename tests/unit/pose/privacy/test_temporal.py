"""Heads are propagated between the frames of a scan."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

import pose
from pose.privacy.find_heads import find_all_heads
from pose.privacy.region import Heads, region_mask
from pose.privacy.temporal import FrameHeads, propagate_heads
from pose.synthetic.picture import render_picture
from pose.synthetic.render import project_keypoints, render
from tests.support.rendered import FIRST_SEED, SIZE, KnowingEstimator, headless, person

NOBODY = "nobody was found"


@cache
def scan_of(posture="standing", second_person=False):
    """Frames of a scan in which the child moves, their people and their faces; all faces are seen."""
    for seed in range(FIRST_SEED, FIRST_SEED + 100):
        frames, people, faces = [], [], []
        for order, number in enumerate((1, 2, 3)):  # the child's pose is another one from frame 3 on
            rendering = render(seed, posture, frame=number, second_person=second_person)
            picture = render_picture(rendering.scene, SIZE, seed, number)
            frames.append(pose.Frame(order, rendering.scene.step, picture.rgb, rendering.depthmap))
            found = [project_keypoints(body, picture.scene, picture.hits)[0] for body in picture.scene.people]
            people.append([person(uv) for uv in found])
            faces.append(picture.face)
        heads = np.array([[one.keypoints[:5] for one in found] for found in people])
        if (
            all(face.sum() > 200 for face in faces)
            and (heads > 15).all()
            and (heads < np.array(SIZE) - 15).all()
        ):
            return frames, people, faces
    raise AssertionError("no rendered scan fits")


def placed(frames, people):
    return [
        FrameHeads(found, find_all_heads(found, [], frame.view), frame.view)
        for frame, found in zip(frames, people, strict=True)
    ]


def masks(heads):
    return [region_mask(one.regions, SIZE) for one in heads]


@pytest.mark.parametrize("posture", ["standing", "lying"])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_frame_in_which_nobody_was_found_gets_the_heads_of_its_neighbours(posture, lost):
    frames, people, faces = scan_of(posture)
    heads = propagate_heads(placed(frames, [[] if i == lost else found for i, found in enumerate(people)]))
    assert [one.reason for one in heads] == [None] * 3
    assert {region.placed_by for region in heads[lost].regions} == {"temporal"}
    covered = faces[lost][masks(heads)[lost]].sum() / faces[lost].sum()
    assert covered > 0.97


def test_frames_that_know_all_their_heads_are_not_changed():
    frames, people, _ = scan_of()
    alone = placed(frames, people)
    assert [one.regions for one in propagate_heads(alone)] == [one.heads.regions for one in alone]


def test_a_head_that_could_not_be_placed_is_moved_with_its_trunk():
    frames, people, faces = scan_of()
    scores = people[1][0].scores.copy()
    scores[:7] = 0.01
    headless = replace(people[1][0], scores=scores)
    alone = placed(frames, [people[0], [headless], people[2]])
    assert "could not be placed" in str(alone[1].heads.reason)
    heads = propagate_heads(alone)
    assert heads[1].reason is None
    assert faces[1][masks(heads)[1]].sum() > 0.99 * faces[1].sum()


def test_neighbours_heads_are_redacted_beside_one_that_was_placed_inexactly():
    frames, people, faces = scan_of()
    alone = placed(frames, people)
    (own,) = alone[1].heads.regions
    beside = np.array([0.9 * own.radius_px, 0.9 * own.radius_px / 2])
    moved = replace(
        own, centre=tuple(own.centre + beside), outline=(own.outline + 2 * beside).astype(np.int32)
    )
    alone[1] = replace(alone[1], heads=Heads((moved,), "it is not certain which way is up"))
    heads = propagate_heads(alone)
    assert heads[1].reason is None
    assert faces[1][masks(heads)[1]].sum() > 0.99 * faces[1].sum()


def test_a_person_missed_in_one_frame_is_redacted_there_too():
    frames, people, faces = scan_of(second_person=True)
    heads = propagate_heads(placed(frames, [people[0], people[1][:1], people[2]]))
    assert "temporal" in {region.placed_by for region in heads[1].regions}
    assert faces[1][masks(heads)[1]].sum() > 0.97 * faces[1].sum()


def test_a_head_is_not_propagated_to_where_the_depth_map_shows_the_wall():
    frames, people, _ = scan_of(second_person=True)
    gone = frames[1].depthmap.depth.copy()
    gone[:] = 5.0
    empty = replace(frames[1], depthmap=replace(frames[1].depthmap, depth=gone))
    alone = placed([frames[0], empty, frames[2]], people)
    some = replace(alone[1], people=people[1][:1], heads=Heads(()))
    heads = propagate_heads([alone[0], some, alone[2]])
    nearby = propagate_heads([alone[0], replace(some, view=frames[1].view), alone[2]])
    assert heads[1].regions == ()
    assert len(nearby[1].regions) >= 2


def test_a_reason_stays_if_the_depth_map_does_not_confirm_the_head():
    frames, people, _ = scan_of()
    blank = replace(frames[1].depthmap, depth=np.zeros_like(frames[1].depthmap.depth))
    alone = placed([frames[0], replace(frames[1], depthmap=blank), frames[2]], [people[0], [], people[2]])
    assert NOBODY in str(propagate_heads(alone)[1].reason)


def test_a_head_that_depth_does_not_confirm_is_not_propagated():
    frames, people, _ = scan_of()
    alone = placed(frames, [people[0], [], people[2]])
    guessed = []
    for one in alone:
        regions = tuple(replace(region, depth_confirmed=False) for region in one.heads.regions)
        guessed.append(replace(one, heads=replace(one.heads, regions=regions)))
    assert propagate_heads(alone)[1].reason is None
    heads = propagate_heads(guessed)[1]
    assert NOBODY in str(heads.reason)
    assert heads.regions == ()


def test_a_reason_stays_if_the_neighbours_show_fewer_people():
    frames, people, _ = scan_of(second_person=True)
    lost = [people[1][0], headless(people[1][1].keypoints)]
    heads = propagate_heads(placed(frames, [people[0][:1], lost, people[2][:1]]))
    assert "could not be placed" in str(heads[1].reason)


def test_heads_are_not_propagated_if_the_phones_pose_is_unknown():
    frames, people, _ = scan_of()
    unknown = [
        replace(
            frame,
            depthmap=replace(frame.depthmap, rotation=np.eye(3), translation=np.zeros(3), pose_known=False),
        )
        for frame in frames
    ]
    assert NOBODY in str(propagate_heads(placed(unknown, [people[0], [], people[2]]))[1].reason)


def test_heads_are_not_propagated_to_frames_far_away_in_the_scan():
    frames, people, _ = scan_of()
    nobody = [frames[1]] * 3
    alone = placed([frames[0], *nobody, frames[2]], [people[0], [], [], [], people[2]])
    assert [one.reason is None for one in propagate_heads([*alone[:4], *alone[1:4]])] == [True] * 3 + [
        False
    ] * 4


def test_an_analysis_publishes_the_picture_of_a_frame_with_propagated_heads_only():
    frames, people, faces = scan_of()
    scan = pose.Scan(frames[0].step, tuple(frames), (), "0" * 64)
    result = pose.analyse_scan(scan, KnowingEstimator({0: people[0], 2: people[2]})).result
    assert [frame.status for frame in result.frames] == ["ok", "no_person", "ok"]
    assert all(frame.picture is not None for frame in result.frames)
    assert result.frames[1].covering is not None
    outlines = result.frames[1].covering.regions
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    assert faces[1][mask > 0].sum() > 0.97 * faces[1].sum()

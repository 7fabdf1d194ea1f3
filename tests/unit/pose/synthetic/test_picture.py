"""Pictures show faces, and the mask tells where."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from pose import keypoints as kp
from pose.synthetic.picture import render_picture
from pose.synthetic.render import project_keypoints
from pose.synthetic.scene import sample_scene

SIZE = (320, 240)
EYES = [kp.LEFT_EYE, kp.RIGHT_EYE]


@cache
def picture(seed, posture="standing"):
    return render_picture(sample_scene(seed, posture, second_person=False), SIZE, seed, 0)


@cache
def pictures(low, high, count=8):
    """Pictures of children who face the camera so much: 1 looks into it, -1 shows the back of the head."""
    found = []
    for seed in range(740_000, 740_300):
        scene = sample_scene(seed, "standing", second_person=False)
        frame, middle, _ = scene.people[0].head
        towards = scene.camera.position - middle
        (uv,), _ = scene.camera.project(middle[None])
        inside = (uv > 30).all() and (uv < (210, 150)).all()
        if inside and low <= frame[:, 2] @ towards / np.linalg.norm(towards) <= high:
            found.append(picture(seed))
        if len(found) == count:
            return found
    raise AssertionError("no such pictures")


def of_parts(shown, *parts):
    return shown.hits.part_mask(shown.scene.shapes, *parts)


def test_a_picture_has_the_size_that_was_asked_for():
    shown = picture(740_000)
    assert shown.rgb.shape == (240, 320, 3)
    assert shown.rgb.dtype == np.uint8
    assert shown.face.shape == shown.hits.depth.shape == (240, 320)
    assert shown.face.dtype == np.bool_


def test_a_face_lies_on_the_head():
    for shown in (*pictures(0.7, 1), *pictures(-0.2, 0.4)):
        assert not (shown.face & ~of_parts(shown, "head", "ear")).any()


def test_seen_from_the_front_a_face_is_there_and_both_eyes_lie_in_it():
    for shown in pictures(0.85, 1):
        uv, visible = project_keypoints(shown.scene.people[0], shown.scene, shown.hits)
        assert shown.face.sum() > 100
        assert visible[EYES].all()
        for column, row in uv[EYES].round().astype(int):
            assert shown.face[row - 1 : row + 2, column - 1 : column + 2].all()


def test_seen_from_the_back_there_is_no_face():
    front = np.median([shown.face.sum() for shown in pictures(0.85, 1)])
    for shown in pictures(-1, -0.85):
        visible = project_keypoints(shown.scene.people[0], shown.scene, shown.hits)[1]
        assert not visible[[kp.NOSE, *EYES]].any()
        assert of_parts(shown, "head", "hair", "hat").any()
        assert shown.face.sum() < 0.1 * front  # the rim of a cheek at most


def test_eyes_are_dark_in_the_middle_and_light_beside_it():
    contrast = []
    for shown in pictures(0.9, 1):
        uv, _ = project_keypoints(shown.scene.people[0], shown.scene, shown.hits)
        for column, row in uv[EYES].round().astype(int):
            around = shown.rgb[row - 2 : row + 3, column - 4 : column + 5].mean(axis=2)
            contrast.append(around.max() - around.min())
    assert np.median(contrast) > 40


def test_skin_tones_range_from_light_to_dark():
    tones = [np.median(shown.rgb[shown.face].mean(axis=1)) for shown in pictures(0.6, 1, 20)]
    assert max(tones) > 150
    assert min(tones) < 80


def test_an_empty_room_has_no_face():
    shown = picture(740_000, "empty")
    assert not shown.face.any()
    assert shown.rgb.std() > 5


def test_the_picture_shows_what_the_depth_map_sees():
    shown = picture(740_001)
    assert np.isfinite(shown.hits.depth).mean() > 0.5
    person = shown.scene.people[0]
    uv, depth = shown.scene.camera.project(person.joints)
    _, visible = project_keypoints(person, shown.scene, shown.hits)
    columns, rows = uv[visible].round().astype(int).T
    assert shown.hits.depth[rows, columns] == pytest.approx(depth[visible], abs=0.15)


def test_the_same_arguments_give_the_same_bytes_and_another_frame_other_noise():
    scene = sample_scene(740_002, "lying")
    one, again, other = (render_picture(scene, SIZE, 740_002, frame) for frame in (0, 0, 1))
    assert one.rgb.tobytes() == again.rgb.tobytes()
    assert one.rgb.tobytes() != other.rgb.tobytes()
    assert np.abs(one.rgb.astype(int) - other.rgb).max() < 25
    assert np.array_equal(one.face, other.face)


def tone(shown, part):
    pixels = shown.rgb[of_parts(shown, part)]
    return np.median(pixels, axis=0) if len(pixels) > 20 else None


def test_one_identity_has_one_skin_and_other_clothes_in_other_scans():
    skins: dict[int, np.ndarray] = {}
    clothes: dict[int, np.ndarray] = {}
    for identity in range(5):
        scenes = [sample_scene(seed, "standing", second_person=False, identity=identity) for seed in range(6)]
        assert len({scene.people[0].measures for scene in scenes}) == 1
        shown = [render_picture(scene, (160, 120), seed, 0) for seed, scene in enumerate(scenes)]
        for tones, part in ((skins, "head"), (clothes, "top")):
            seen = [each for each in (tone(picture, part) for picture in shown) if each is not None]
            if len(seen) > 3:
                tones[identity] = np.array(seen)
    assert len(skins) > 3
    own = np.mean([tones.std(axis=0) for tones in skins.values()])
    assert np.std([tones.mean(axis=0) for tones in skins.values()], axis=0).mean() > 2 * own
    assert np.mean([tones.std(axis=0) for tones in clothes.values()]) > 2 * own


def test_an_identity_changes_nothing_but_the_child():
    with_identity, without = (sample_scene(740_003, "standing", identity=identity) for identity in (5, None))
    rooms = [[s.origin.tolist() for s in scene.shapes if s.owner == -1] for scene in (with_identity, without)]
    assert len(rooms[0]) == len(rooms[1])
    assert with_identity.step == without.step
    assert with_identity.people[0].measures != without.people[0].measures

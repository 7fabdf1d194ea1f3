"""Rooms leave the child in view."""

from __future__ import annotations

import numpy as np
import pytest

from pose.geometry.camera import Intrinsics
from pose.synthetic.raycast import Camera, cast_rays
from pose.synthetic.room import sample_bedding, sample_room

MIDDLE = np.array([0.0, 0.45, 0.0])
CAMERA = Camera(Intrinsics(30.0, 30.0, 15.5, 11.5, 32, 24), np.eye(3), np.array([0.0, 0.6, 1.1]))


def rooms(count=40, **options):
    options = {"careful": True, "crowded": False, **options}
    careful = options.pop("careful")
    return [
        sample_room(np.random.default_rng(seed), CAMERA, MIDDLE, careful, **options) for seed in range(count)
    ]


def test_no_object_is_between_the_phone_and_the_child():
    (pixel,), (distance,) = CAMERA.project(MIDDLE[None])
    column, row = pixel.round().astype(int)
    for room in rooms():
        hits = cast_rays(CAMERA, [shape for shape in room if shape.part != "wall"])
        assert hits.depth[row - 2 : row + 3, column - 2 : column + 3].min() > distance


def test_no_wall_is_between_the_phone_and_the_child():
    walls = [shape for room in rooms(200) for shape in room if shape.part == "wall"]
    assert len(walls) > 100
    for wall in walls:
        for point in (CAMERA.position, MIDDLE):
            assert (point - wall.origin) @ wall.frame[:, 1] > 0.1


@pytest.mark.parametrize("careful", [True, False])
def test_a_careful_scan_has_a_wall_behind_the_child(careful):
    walls = [[shape for shape in room if shape.part == "wall"] for room in rooms(careful=careful)]
    assert all(walls) == careful
    behind = [wall[0].origin - MIDDLE for wall in walls if wall]
    assert all(away[2] < 0 for away in behind)
    assert all(np.linalg.norm(away) < (1.7 if careful else 2.6) for away in behind)


def test_an_empty_room_has_more_things_in_it():
    def things(room):
        return sum(shape.part != "wall" for shape in room)

    assert np.mean([things(room) for room in rooms(crowded=True)]) > 2 * np.mean([*map(things, rooms())])


def test_every_shape_of_a_room_belongs_to_the_room():
    assert {shape.owner for room in rooms(crowded=True) for shape in room} == {-1}


def test_bedding_is_as_high_as_it_says():
    below = Camera(
        CAMERA.intrinsics, np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), np.array([0.0, 2.0, 0.0])
    )
    heights = []
    for seed in range(60):
        height, shapes = sample_bedding(np.random.default_rng(seed), 0.8)
        heights.append(height)
        seen = cast_rays(below, shapes).depth[12, 16]
        assert (2.0 - seen == pytest.approx(height, abs=1e-3)) if shapes else height == 0
    assert min(heights) == 0
    assert max(heights) > 0.35

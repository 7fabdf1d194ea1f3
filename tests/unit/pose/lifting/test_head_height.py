"""The top of a head, or of an object, above the floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose.geometry.floor import floor_height
from pose.geometry.view import View
from pose.lifting.head_height import head_height, object_height
from pose.lifting.lift import lift_in_view
from pose.lifting.skeleton import Skeleton
from pose.scan.reader import read_scan
from pose.synthetic.render import Rendering, render


def lifted(rendering: Rendering) -> Skeleton:
    person, depthmap = rendering.scene.people[0], rendering.depthmap
    points, visible = rendering.keypoints(person)
    view = View.of(depthmap, (depthmap.width, depthmap.height))
    return lift_in_view(view, points, np.where(visible, 0.8, 0.3), "inside", floor_height(depthmap))


def test_the_plush_dog_is_as_high_as_the_original_system_measured(plush: Path):
    found = []
    for frame in read_scan(plush).frames:
        assert frame.floor is not None
        found.append(object_height(frame.depthmap, frame.floor))
    assert found == pytest.approx([0.4329, 0.4278, 0.4275], abs=0.005)


def test_the_head_of_a_child_who_stands_is_at_its_crown_with_the_hair():
    errors = []
    for seed in range(730_000, 730_012):
        rendering = render(seed, "standing", careful=True, second_person=False)
        axes, middle, radii = rendering.scene.people[0].head
        found = head_height(rendering.depthmap, lifted(rendering))
        if found is not None:
            errors.append(found - float(middle[1] + np.linalg.norm(axes[1] * radii)))
    assert len(errors) >= 8
    assert -0.02 < np.median(errors) < 0.04
    assert np.abs(errors).max() < 0.10


def test_a_head_that_the_picture_cuts_off_has_no_height():
    rendering = render(730_000, "standing", careful=True, second_person=False)
    skeleton, whole = lifted(rendering), rendering.depthmap
    assert head_height(whole, skeleton) is not None
    _, middle, _ = rendering.scene.people[0].head
    points = whole.points()
    higher = (whole.depth > 0) & (points[..., 1] > middle[1])
    higher &= np.hypot(points[..., 0] - middle[0], points[..., 2] - middle[2]) < 0.16
    rows, columns = np.nonzero(higher)
    lowest = (rows.min(), rows.max(), columns.min(), columns.max())
    cuts = [
        (np.s_[lowest[1] :, :], (0, lowest[1])),
        (np.s_[: lowest[0] + 1, :], (0, 0)),
        (np.s_[:, lowest[3] :], (lowest[3], 0)),
        (np.s_[:, : lowest[2] + 1], (0, 0)),
    ]
    kept = [
        replace(
            whole,
            depth=np.ascontiguousarray(whole.depth[part]),
            confidence=None,
            intrinsics=replace(
                whole.intrinsics,
                cx=whole.intrinsics.cx - x,
                cy=whole.intrinsics.cy - y,
                width=whole.depth[part].shape[1],
                height=whole.depth[part].shape[0],
            ),
        )
        for part, (x, y) in cuts
    ]
    body = max(kept, key=lambda each: np.count_nonzero(each.depth))  # the cut that leaves trunk and legs
    assert head_height(body, skeleton) is None


def test_nothing_on_the_floor_has_no_height(plush: Path):
    frame = next(iter(read_scan(plush).frames))
    assert frame.floor is not None
    flat = replace(frame.depthmap, depth=np.zeros_like(frame.depthmap.depth))
    assert object_height(flat, frame.floor) is None

"""Rays meet volumes where brute force says that they do."""

from __future__ import annotations

import numpy as np
import pytest

from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.synthetic import raycast
from pose.synthetic.posing import rotation_about
from pose.synthetic.raycast import Camera, box, cast_rays, cone, ellipsoid, elliptic_cone, plane

WIDTH, HEIGHT = 24, 18


def camera(rng=None, position=(0.0, 0.0, 0.0), size=(WIDTH, HEIGHT)):
    """Looks along -z, or, with a generator, somewhere else."""
    width, height = size
    k = Intrinsics(0.68 * width, 0.9 * height, 0.496 * width, 0.504 * height, width, height)
    rotation = np.eye(3) if rng is None else any_turn(rng)
    return Camera(k, rotation, np.array(position, float))


def any_turn(rng):
    x, y, z = rng.uniform(-180, 180, 3)
    return rotation_about("z", z) @ rotation_about("y", y) @ rotation_about("x", x)


def ahead(camera, aside, depth):
    """World point that lies (right, up) of a camera's axis, and `depth` before it."""
    return camera.rotation @ np.array([*aside, -depth]) + camera.position


def directions(camera):
    """(H, W, 3) world directions of a camera's rays, one metre deep."""
    k = camera.intrinsics
    flat = DepthMap(np.ones((k.height, k.width), np.float32), None, k, camera.rotation, np.zeros(3))
    return flat.points()


def hull_of_spheres(point, a, b, ra, rb):
    """Distance (...) of points to the union of all spheres between two; negative inside."""
    share = np.linspace(0, 1, 150)[:, None]
    centres, radii = a + share * (b - a), ra + share[:, 0] * (rb - ra)
    return (np.linalg.norm(point[..., None, :] - centres, axis=-1) - radii).min(axis=-1)


def box_distance(point, half):
    outside = np.abs(point) - half
    far = np.linalg.norm(np.maximum(outside, 0), axis=-1)
    return far + np.minimum(outside.max(axis=-1), 0)


def agrees(hits, camera, distance, tolerance=2e-3):
    """Whether depths lie on the surface, and rays meet nothing before (or, where they miss, up to 6 m)."""
    rays = directions(camera)
    met = np.isfinite(hits.depth)
    on_surface = distance(camera.position + rays[met] * hits.depth[met][:, None])
    assert np.abs(on_surface).max() < tolerance
    until = np.where(met, hits.depth - 0.01, 6.0)
    for share in np.linspace(0.05, 1, 16):
        before = distance(camera.position + rays * (share * until)[..., None])
        assert before.min() > -tolerance


@pytest.mark.parametrize("seed", range(6))
def test_depths_of_a_sphere_are_those_of_the_formula(seed):
    rng = np.random.default_rng(seed)
    view = camera(rng, rng.normal(0, 1, 3))
    middle, radius = ahead(view, rng.uniform(-0.3, 0.3, 2), 1.5), rng.uniform(0.1, 0.5)
    hits = cast_rays(view, [ellipsoid("thing", -1, middle, any_turn(rng), (radius, radius, radius))])
    rays, start = directions(view), view.position - middle
    a, b, c = (rays**2).sum(-1), rays @ start, start @ start - radius**2
    inside = b**2 - a * c
    expected = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
    sure = np.abs(inside) > 1e-4  # at the rim float32 may decide either way
    assert np.isfinite(hits.depth).any()
    assert (np.isfinite(hits.depth) == (inside > 0))[sure].all()
    both = sure & (inside > 0)
    assert hits.depth[both] == pytest.approx(expected[both], abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_a_round_cone_is_the_hull_of_two_spheres(seed):
    rng = np.random.default_rng(seed)
    view = camera(rng, rng.normal(0, 1, 3))
    a, b = (ahead(view, rng.uniform(-0.4, 0.4, 2), rng.uniform(0.9, 1.8)) for _ in range(2))
    ra, rb = rng.uniform(0.05, 0.3, 2)
    hits = cast_rays(view, [cone("thing", -1, a, b, ra, rb)])
    assert np.isfinite(hits.depth).sum() > 10
    agrees(hits, view, lambda point: hull_of_spheres(point, a, b, ra, rb))


@pytest.mark.parametrize("radii", [(0.3, 0.1), (0.1, 0.3)])
def test_a_cone_is_a_sphere_if_one_of_its_spheres_contains_the_other(radii):
    view, a, b = camera(), np.array([0.05, 0.02, -1.2]), np.array([0.1, 0.02, -1.1])
    hits = cast_rays(view, [cone("thing", -1, a, b, *radii)])
    assert np.isfinite(hits.depth).sum() > 10
    agrees(hits, view, lambda point: hull_of_spheres(point, a, b, *radii))


@pytest.mark.parametrize("seed", range(6))
def test_an_elliptic_cone_is_a_round_one_in_its_scaled_frame(seed):
    rng = np.random.default_rng(seed)
    view, frame = camera(rng), any_turn(rng)
    a, b = (ahead(view, rng.uniform(-0.3, 0.3, 2), rng.uniform(1.0, 1.6)) for _ in range(2))
    scale, (ra, rb) = rng.uniform(0.5, 1.3, 3), rng.uniform(0.05, 0.25, 2)
    hits = cast_rays(view, [elliptic_cone("top", 0, a, b, ra, rb, frame, tuple(scale))])

    def own(points):
        return (points - a) @ frame / scale

    assert np.isfinite(hits.depth).sum() > 10
    agrees(hits, view, lambda point: hull_of_spheres(own(point), np.zeros(3), own(b), ra, rb))


@pytest.mark.parametrize("seed", range(6))
def test_rays_hit_a_box_at_its_faces(seed):
    rng = np.random.default_rng(seed)
    view, frame = camera(rng, rng.normal(0, 1, 3)), any_turn(rng)
    middle, size = ahead(view, rng.uniform(-0.3, 0.3, 2), 1.5), rng.uniform(0.1, 0.9, 3)
    hits = cast_rays(view, [box("furniture", middle, frame, tuple(size))])
    assert np.isfinite(hits.depth).sum() > 2
    agrees(hits, view, lambda point: box_distance((point - middle) @ frame, size / 2))


def test_rays_that_point_down_hit_a_horizontal_plane():
    view = Camera(camera().intrinsics, rotation_about("x", -30), np.array([0.0, 1.3, 0.0]))
    hits = cast_rays(view, [plane("floor", np.array([5.0, 0.1, 3.0]), np.eye(3))])
    rays = directions(view)
    expected = np.where(rays[..., 1] < 0, -1.2 / rays[..., 1], np.inf)
    assert hits.depth == pytest.approx(expected, rel=1e-4)


def test_each_pixel_sees_the_nearest_shape_in_any_order():
    view = camera()
    near = ellipsoid("thing", -1, np.array([0.0, 0.0, -1.0]), np.eye(3), (0.2, 0.2, 0.2))
    wall = plane("wall", np.array([0.0, 0.0, -2.0]), rotation_about("x", 90))
    one, other = cast_rays(view, [near, wall]), cast_rays(view, [wall, near])
    assert np.array_equal(one.depth, other.depth)
    assert np.array_equal(one.index, 1 - other.index)
    assert one.index[HEIGHT // 2, WIDTH // 2] == 0
    assert one.index[0, 0] == 1
    assert one.depth[0, 0] == pytest.approx(2.0)


def test_without_shapes_every_depth_is_infinite():
    hits = cast_rays(camera(), [])
    assert np.isinf(hits.depth).all()
    assert (hits.index == -1).all()


def test_shapes_behind_or_around_the_camera_are_not_seen():
    behind = cone("thing", -1, np.array([0.0, 0.0, 1.0]), np.array([0.3, 0.0, 2.0]), 0.2, 0.3)
    around = cone("thing", -1, np.zeros(3), np.array([0.0, 0.1, 0.0]), 0.4, 0.4)
    crate = box("furniture", np.array([0.0, 0.0, 3.0]), np.eye(3), (1, 1, 1))
    assert np.isinf(cast_rays(camera(), [behind, around, crate]).depth).all()


@pytest.mark.parametrize("seed", range(24))
def test_the_pixel_window_of_a_shape_contains_all_its_pixels(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    view = camera(rng, rng.normal(0, 0.4, 3))
    shapes = []
    for _ in range(8):
        a, b = rng.normal(0, 0.9, (2, 3))
        ra, rb = rng.uniform(0.02, 0.4, 2)
        scale = tuple(rng.uniform(0.4, 1.4, 3))
        shapes += [
            cone("thing", -1, a, b, ra, rb),
            elliptic_cone("thing", -1, a, b, ra, rb, any_turn(rng), scale),
            box("furniture", b, any_turn(rng), scale),
        ]
    windowed = cast_rays(view, shapes)
    whole = slice(0, HEIGHT), slice(0, WIDTH)
    monkeypatch.setattr(raycast, "_pixel_window", lambda camera, shape: whole)
    everywhere = cast_rays(view, shapes)
    # The pixels of a window have no other float32 rays than those of the whole picture.
    assert np.array_equal(windowed.depth, everywhere.depth)
    assert np.array_equal(windowed.index, everywhere.index)


@pytest.mark.parametrize("size", [(240, 180), (180, 135), (640, 480)])
def test_projecting_is_the_inverse_of_a_depth_maps_world_points(size):
    rng = np.random.default_rng(0)
    view = camera(rng, rng.normal(0, 1, 3), size)
    k = view.intrinsics
    depthmap = DepthMap(np.ones((k.height, k.width), np.float32), None, k, view.rotation, view.position, True)
    u, v, d = rng.uniform(0, size[0], 50), rng.uniform(0, size[1], 50), rng.uniform(0.3, 4, 50)
    pixels, depth = view.project(depthmap.unproject(u, v, d))
    assert pixels == pytest.approx(np.stack([u, v], axis=-1), abs=1e-8)
    assert depth == pytest.approx(d)


def test_a_point_beside_the_camera_has_no_infinite_pixel():
    pixels, depth = camera().project(np.array([[0.1, 0.2, 0.0], [0.1, 0.2, 1.0]]))
    assert np.isfinite(pixels).all()
    assert (depth <= 0).all()

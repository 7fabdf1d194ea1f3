"""The sensor model: measured depth from true depth."""

from __future__ import annotations

import numpy as np
import pytest

from pose.synthetic.raycast import Hits, plane
from pose.synthetic.sensor import simulate_sensor, smooth_noise

SHAPE = (180, 240)
SEEDS = range(6)


def measure(seed, depth, parts="wall", frame=0, careful=True):
    """Depth and confidence of a scene whose pixels have this depth and are of these parts."""
    names = sorted(set(np.atleast_1d(parts).ravel().tolist()))
    shapes = [plane(name, np.zeros(3), np.eye(3)) for name in names]
    index = np.broadcast_to(np.searchsorted(names, parts), SHAPE).astype(np.int16)
    depth = np.broadcast_to(np.asarray(depth, np.float32), SHAPE).copy()
    index = np.where(np.isfinite(depth), index, -1).astype(np.int16)
    scan, view = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2, frame])
    return simulate_sensor(Hits(depth, index), shapes, scan, view, careful=careful)


def step(near=1.0, far=1.6):
    depth = np.full(SHAPE, far)
    depth[:, :120] = near
    return depth


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_depth_is_whole_millimetres_and_confidence_goes_with_it(seed, careful):
    depth, confidence = measure(seed, step(), careful=careful)
    assert depth.shape == confidence.shape == SHAPE
    assert depth.dtype == confidence.dtype == np.float32
    assert depth.min() >= 0
    assert depth.max() <= 12
    assert depth * 1000 == pytest.approx(np.rint(depth * 1000), abs=1e-2)
    assert ((confidence > 0) == (depth > 0)).all()
    assert confidence.max() <= 1
    assert confidence[depth > 0].min() >= 0.99 / 7  # the lowest level but none of a file's seven


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wall_is_measured_within_a_centimetre_or_two(seed):
    depth, _ = measure(seed, 1.2)
    measured = depth[depth > 0]
    assert measured.size > 0.8 * depth.size
    assert np.median(measured) == pytest.approx(1.2, abs=0.01)
    assert np.percentile(np.abs(measured - 1.2), 90) < 0.03


def test_noise_grows_with_the_distance():
    near, far = (np.mean([np.std(measure(seed, d)[0][20:60, 20:60]) for seed in SEEDS]) for d in (0.6, 2.4))
    assert far > 1.5 * near


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_measured_where_no_surface_is(seed):
    empty = np.full(SHAPE, np.inf)
    assert not measure(seed, empty)[0].any()
    empty[:, :120] = 1.0
    depth, _ = measure(seed, empty)
    assert not depth[:, 130:].any()
    assert (depth[:, :100] > 0).mean() > 0.8


def test_depth_is_lost_at_the_edges_of_things():
    lost = [measure(seed, step())[0] == 0 for seed in range(24)]
    at_edge = np.mean([each[:, 117:123].mean() for each in lost])
    elsewhere = np.mean([each[:, 30:90].mean() for each in lost])
    assert at_edge > 0.3
    assert elsewhere < 0.05


def test_small_steps_are_smoothed():
    widths = []
    for seed in range(20):
        depth, _ = measure(seed, step(1.0, 1.02))
        profile = np.median(depth, axis=0)
        assert (profile[100:140] > 0).all()
        widths.append(((profile > 1.004) & (profile < 1.016)).sum())
    assert np.mean(widths) >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_beyond_the_range_is_missing(seed):
    assert (measure(seed, 9.0)[0] > 0).mean() < 0.01


def test_only_a_careless_scan_ends_at_two_metres():
    careless = [(measure(seed, 2.7, careful=False)[0] > 0).mean() for seed in range(20)]
    careful = [(measure(seed, 2.7)[0] > 0).mean() for seed in range(20)]
    assert min(careful) > 0.7
    assert 0.1 < np.mean(np.array(careless) < 0.2) < 0.7


def test_only_a_careless_phone_measures_nothing_along_its_border():
    def empty_corners(careful):
        return np.mean([not measure(seed, 1.0, careful=careful)[0][:3, :3].any() for seed in range(20)])

    assert empty_corners(careful=True) < 0.1
    assert empty_corners(careful=False) > 0.2


def test_hair_returns_less_light_than_skin():
    parts = np.full(SHAPE, "skin", dtype="<U4")
    parts[:, 120:] = "hair"
    lost = [measure(seed, 1.0, parts)[0] == 0 for seed in range(24)]
    hair, skin = (np.mean([each[:, window].mean() for each in lost]) for window in (np.s_[130:], np.s_[:110]))
    assert hair > skin + 0.08
    confidence = measure(0, 1.0, parts)[1]
    assert confidence[:, :110].mean() > confidence[:, 130:].mean()


def test_frames_of_one_scan_differ_in_noise_only():
    one, other = measure(3, step())[0], measure(3, step(), frame=1)[0]
    assert not np.array_equal(one, other)
    both = (one > 0) & (other > 0)
    assert both.mean() > 0.75
    assert np.median(np.abs(one - other)[both]) < 0.02


@pytest.mark.parametrize("cell", [2.0, 9.0, 40.0])
def test_smooth_noise_is_smooth_and_around_zero(cell):
    noise = np.stack([smooth_noise(np.random.default_rng(seed), SHAPE, cell) for seed in range(20)])
    assert noise.shape == (20, *SHAPE)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.25)
    assert np.abs(np.diff(noise, axis=2)).mean() < 2 / cell

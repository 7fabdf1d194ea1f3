"""The crops of a GPU are those of the CPU, to the last bit; here both are cut on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.estimators.crop import crop
from pose.estimators.gpu import FixedBatches
from pose.estimators.gpu_crop import GPUCropper
from pose.estimators.topdown import TopDown
from pose.hrnet import Variant, build_hrnet
from tests.support import tiny  # noqa: F401 - one thread
from tests.support.views import PICTURE, views
from tests.unit.pose.estimators.test_topdown import BOXES, SMALL, random_network

CPU = torch.device("cpu")


def assert_equal_crops(pictures, boxes, size=SMALL):
    found = GPUCropper(size, CPU)(pictures, boxes)
    assert found.dtype == torch.uint8
    for ours, picture, box in zip(found.numpy(), pictures, boxes, strict=True):
        assert np.array_equal(ours, crop(picture, box, size))


@pytest.mark.parametrize("box", [(20.3, 10.7, 70.2, 88.9), (-40, -30, 60, 200), (0, 0, 5.5, 7.1)])
def test_crops_of_turned_and_mirrored_pictures_in_one_batch(box):
    assert_equal_crops(views(), [np.array(box)] * len(views()))


def test_a_box_beside_the_picture_is_black():
    for box in ((500, 500, 540, 560), (-300, 10, -200, 60), (10, -400, 60, -300)):
        assert_equal_crops([PICTURE], [np.array(box, float)])
        assert not GPUCropper(SMALL, CPU)([PICTURE], [np.array(box, float)]).any()


edges = st.floats(-60, 160)
sides = st.floats(0.5, 300)


@settings(max_examples=60, deadline=None)
@given(edges, edges, sides, sides, st.sampled_from([(96, 128), (32, 64), (288, 384)]))
def test_crops_of_any_box(left, top, width, height, size):
    assert_equal_crops([PICTURE], [np.array([left, top, left + width, top + height])], size)


def test_an_empty_box_is_refused_as_on_the_cpu():
    with pytest.raises(ValueError, match="is empty"):
        GPUCropper(SMALL, CPU)([PICTURE], [np.array([10.0, 10, 10, 10])])


@pytest.mark.parametrize("flip", [False, True])
def test_keypoints_by_the_steps_of_the_gpu_are_those_of_the_cpu(flip):
    network = random_network(build_hrnet(Variant(8, modules=(1, 1, 1), blocks=1, stem=8, layer1=(8, 1))))
    pictures = [np.rot90(PICTURE), PICTURE, PICTURE[::-1]]
    plain = TopDown(network, input_size=SMALL, flip_test=flip, batch_size=3)
    ready = TopDown(network, input_size=SMALL, flip_test=flip, batch_size=3)
    ready._cropper = GPUCropper(SMALL, CPU)

    def record(step, static):
        output = step(static)
        return lambda: output.copy_(step(static)), output

    shape = (SMALL[1], SMALL[0], 3)
    ready._keypoints = FixedBatches(ready._find_keypoints, shape, torch.uint8, CPU, 3, record)
    for ours, theirs in zip(ready.predict(pictures, BOXES), plain.predict(pictures, BOXES), strict=True):
        assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
        assert ours[1] == pytest.approx(theirs[1], abs=1e-5)

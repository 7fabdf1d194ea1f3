"""On a GPU: float16 and CUDA graphs give what the CPU gives. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.detector import Detector
from pose.estimators.gpu_crop import GPUCropper
from pose.estimators.gpu_network import to_gpu
from pose.estimators.topdown import TopDown
from pose.hrnet import build_hrnet
from pose.scan.frame import Frame
from pose.synthetic.render import render
from tests.support.views import PICTURE, views
from tests.unit.pose.estimators.test_detector import CHEAPEST, random_state
from tests.unit.pose.estimators.test_topdown import SIZE, random_network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
GPU = torch.device("cuda")
BOXES = [np.array([(5.3, 6.7, 60.2, 80.9), (-30, 20, 70, 110)])] * len(views())


def frames(count: int = 9) -> list[Frame]:
    picture = np.zeros((1080, 1440, 3), np.uint8)
    return [Frame(i, 100, picture, render(i, "standing").depthmap) for i in range(count)]


def test_crops_are_equal_to_the_last_bit():
    # On the CPU these are equal to those of OpenCV 4. OpenCV 5 computes with floats.
    boxes = [boxes[0] for boxes in BOXES]
    on_cpu = GPUCropper(SIZE, torch.device("cpu"))(views(), boxes)
    assert torch.equal(GPUCropper(SIZE, GPU)(views(), boxes).cpu(), on_cpu)


@pytest.mark.parametrize("flip", [False, True])
def test_in_fp32_keypoints_are_those_of_the_cpu(flip):
    network = random_network(build_hrnet("w32"))
    state = network.state_dict()
    on_gpu = TopDown(state, None, SIZE, GPU, flip, batch_size=8).predict(views(), BOXES)
    on_cpu = TopDown(state, None, SIZE, "cpu", flip, batch_size=8).predict(views(), BOXES)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert ours[1] == pytest.approx(theirs[1], abs=1e-3)
        assert np.median(np.abs(ours[0] - theirs[0])) < 1e-3


@pytest.mark.parametrize(("precision", "pixels", "share"), [("fp32", 0.02, 1.0), ("fp16", 0.1, 0.95)])
def test_the_depth_network_finds_the_same_as_on_the_cpu(precision, pixels, share):
    shown, near = frames(), []
    on_gpu = DepthHRNet(device=GPU, precision=precision, batch_size=4).estimate(shown)
    on_cpu = DepthHRNet().estimate(shown)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            seen = b.scores > 0.3
            near.extend(np.abs(a.keypoints - b.keypoints)[seen].max(axis=1) < pixels)
            assert np.abs(a.scores - b.scores).max() < 0.02
    assert np.mean(near) >= share


@torch.inference_mode()
def test_heatmaps_in_fp16_are_those_in_fp32():
    inputs = torch.randn(5, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    for variant in ("w32", "w48"):
        network = random_network(build_hrnet(variant))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(inputs)  # values in the network get their usual size
        half = to_gpu(network, GPU, "fp16")(inputs.to(GPU))
        expected = network.to(GPU)(inputs.to(GPU))
        # Errors grow from layer to layer in a random network, unlike in a trained one.
        assert (half - expected).square().mean().sqrt() < 0.2 * expected.std()


def test_a_result_does_not_depend_on_earlier_calls():
    shown = frames(5)
    estimator = DepthHRNet(device=GPU, precision="fp16")
    first = estimator.estimate(shown)
    estimator.estimate(frames(9)[5:])
    again = estimator.estimate(shown)
    for ours, theirs in zip(first, again, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a.keypoints, b.keypoints)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_detector_finds_the_same_boxes_as_on_the_cpu(precision):
    pictures = [np.rot90(PICTURE), PICTURE]
    state = random_state(CHEAPEST)
    ours = Detector(state, CHEAPEST, GPU, precision=precision, low_confidence_score=0.3).detect(pictures)
    theirs = Detector(state, CHEAPEST, low_confidence_score=0.3).detect(pictures)
    for (boxes, scores), (others, other_scores) in zip(ours, theirs, strict=True):
        if precision == "fp32":
            assert boxes == pytest.approx(others, abs=0.1)
            assert scores == pytest.approx(other_scores, abs=1e-3)
        else:
            assert abs(len(boxes) - len(others)) <= 0.2 * len(others)

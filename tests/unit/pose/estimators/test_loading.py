"""Estimators are loaded by name, on the device that the user names."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import pose
import pose.weights.checkpoint
import pose.weights.registry
from pose.detectors import DETECTORS, build_detector
from pose.errors import DeviceUnavailable, InvalidWeights
from pose.estimators.base import Person
from pose.estimators.depth_hrnet import DepthHRNet
from pose.estimators.detector import Detector
from pose.estimators.loading import (
    ESTIMATORS,
    choose_device,
    choose_precision,
    load_estimator,
    load_pair,
    resolve_model,
)
from pose.estimators.rgb_hrnet import RGBHRNet
from pose.hrnet import VARIANTS, build_hrnet
from pose.weights.registry import DEFAULT_DETECTOR
from pose.weights.store import WeightsStore
from tests.support.published import THIN, thin_state, write_pth


@pytest.fixture
def gpus(monkeypatch):
    """gpus(n): torch sees n GPUs."""

    def see(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


def test_auto_takes_a_gpu_if_there_is_one(gpus):
    gpus(0)
    assert choose_device("auto") == "cpu"
    gpus(2)
    assert choose_device("auto") == "cuda"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_requested_gpu_is_never_replaced_by_the_cpu(gpus, device):
    gpus(0)
    with pytest.raises(DeviceUnavailable, match=device):
        choose_device(device)


def test_only_existing_gpus_can_be_requested(gpus):
    gpus(2)
    assert choose_device("cuda") == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device("cuda:01") == "cuda:1"
    with pytest.raises(DeviceUnavailable, match="2 CUDA devices"):
        choose_device("cuda:2")


def test_the_cpu_can_be_requested_on_a_machine_with_a_gpu(gpus):
    gpus(1)
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("asked", "device", "capability", "chosen"),
    [
        ("auto", "cpu", None, "fp32"),
        ("fp32", "cpu", None, "fp32"),
        ("auto", "cuda", (9, 0), "fp16"),
        ("auto", "cuda:1", (7, 0), "fp16"),
        ("auto", "cuda", (6, 1), "fp32"),
        ("fp32", "cuda", (9, 0), "fp32"),
        ("fp16", "cuda", (6, 1), "fp16"),
    ],
)
def test_auto_is_fp16_on_a_gpu_with_tensor_cores(monkeypatch, asked, device, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision(asked, device) == chosen


def test_a_precision_that_cannot_be_had_is_an_error():
    with pytest.raises(ValueError, match="fp16 needs a GPU, but the device is cpu"):
        load_estimator("depth-hrnet", "cpu", precision="fp16")
    with pytest.raises(ValueError, match="precision is 'bf16', expected one of auto, fp32, fp16"):
        choose_precision("bf16", "cuda")


@pytest.mark.parametrize(
    "device", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "cuda:0\n", "mps"]
)
def test_an_unknown_device_is_refused(gpus, device):
    gpus(1)
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:N"):
        choose_device(device)


def test_an_unknown_model_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"'hrnet'.*depth-hrnet"):
        load_estimator("hrnet")
    with pytest.raises(ValueError, match=r"'depth-hrnet'.*expected both"):
        load_pair("depth-hrnet")


@pytest.mark.parametrize("name", ["depth-hrnet", "hrnet-w32-256x192"])
def test_a_missing_gpu_is_reported_before_weights_are_read(gpus, name, tmp_path):
    gpus(0)
    with pytest.raises(DeviceUnavailable):
        load_estimator(name, "cuda", store=WeightsStore(tmp_path))


def test_missing_weights_of_the_package_are_an_error(monkeypatch):
    monkeypatch.setattr(pose.weights.checkpoint, "EMBEDDED", "none.safetensors")
    with pytest.raises(InvalidWeights, match="installed whole"):
        load_estimator("depth-hrnet")


def test_the_score_is_the_mean_of_the_keypoints_scores():
    person = Person(np.zeros((17, 2)), np.linspace(0, 1, 17), (0, 0, 1, 1), 0.9)
    assert person.score == pytest.approx(0.5)


def test_it_is_exported():
    assert pose.load_estimator is load_estimator


# The RGB models, with a thin network in the place of w32 and w48.

W48, W32 = "hrnet-w48-384x288", "hrnet-w32-256x192"
CHEAP = "ssdlite320-mobilenet-v3-large"


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Files of weights: of both HRNets, under names that tell the inputs' sizes, and of a detector."""
    thinner = dataclasses.replace(THIN, width=48)
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    monkeypatch.setitem(VARIANTS, "w48", thinner)
    return {
        W32: write_pth(tmp_path / "mine_256x192.pth", thin_state()),
        W48: write_pth(tmp_path / "mine_384x288.pth", build_hrnet(thinner).state_dict()),
        CHEAP: write_pth(tmp_path / "detector.pth", build_detector(CHEAP).state_dict()),
    }


@pytest.fixture
def store(files, tmp_path):
    """store(names…) → a store that has these, and no others."""

    def fill(*names):
        filled = WeightsStore(tmp_path / "store")
        for name in names:
            filled.add(name, files[name], own=True)
        return filled

    return fill


def test_auto_is_the_best_rgb_model_if_stored_and_else_the_depth_network(store):
    assert resolve_model("auto", store()) == "depth-hrnet"
    assert resolve_model("auto", store(W32)) == "depth-hrnet"
    assert resolve_model("auto", store(W48)) == W48
    assert [resolve_model(name, store()) for name in ESTIMATORS] == list(ESTIMATORS)


def test_auto_loads_the_resolved_model(store):
    assert load_estimator(device="cpu", store=store()).name == "depth-hrnet"
    assert load_estimator(device="cpu", store=store(W48, CHEAP), detector=CHEAP).name == W48


def test_an_rgb_model_is_loaded_with_its_detector_and_its_options(store):
    estimator = load_estimator(
        W32, "cpu", store=store(W32, CHEAP), detector=CHEAP, flip_test=True, batch_size=3
    )
    assert isinstance(estimator, RGBHRNet) and isinstance(estimator.detector, Detector)
    assert estimator.name == W32
    assert re.fullmatch(rf"own-[0-9a-f]{{8}}/{CHEAP}-own-[0-9a-f]{{8}}/flip", estimator.version)
    assert (estimator.pose.input_size, estimator.pose.batch_size) == ((192, 256), 3)
    assert (estimator.detector.name, estimator.detector.batch_size) == (CHEAP, 3)
    picture = np.zeros((48, 64, 3), np.uint8)
    assert estimator.estimate([pose.Frame(0, 100, picture, depthmap())]) == [[]]


def depthmap():
    return pose.DepthMap(np.ones((6, 8), np.float32), None, pose.Intrinsics(7, 7, 4, 3, 8, 6))


def test_weights_may_be_given_by_their_paths(files, store):
    empty = store()
    estimator = load_estimator(
        W32, "cpu", store=empty, weights=files[W32], detector=CHEAP, detector_weights=files[CHEAP]
    )
    assert estimator.name == W32
    assert not empty.has(W32)
    by_file = load_estimator(
        "auto", "cpu", store=empty, weights=files[W48], detector=CHEAP, detector_weights=files[CHEAP]
    )
    assert by_file.name == W48
    with pytest.raises(InvalidWeights, match=W48):
        load_estimator(W48, "cpu", weights=files[W32], detector=CHEAP, detector_weights=files[CHEAP])


def test_missing_rgb_weights_are_an_error_and_never_replaced(store):
    with pytest.raises(InvalidWeights, match=f"pose weights pull {W32}"):
        load_estimator(W32, "cpu", store=store())
    with pytest.raises(InvalidWeights, match=f"pose weights pull {DEFAULT_DETECTOR}"):
        load_estimator("auto", "cpu", store=store(W48))


def test_an_unknown_detector_is_refused_with_a_list_of_the_known_ones(store):
    with pytest.raises(ValueError, match=r"'yolo'.*fasterrcnn-resnet50-fpn"):
        load_estimator(W32, "cpu", store=store(W32), detector="yolo")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"flip_test": True}, "flip_test"),
        ({"detector": CHEAP}, "detector"),
        ({"weights": Path("x.pth"), "detector_weights": Path("y.pth")}, "weights, detector_weights"),
    ],
)
def test_the_depth_network_refuses_options_of_rgb_models(options, named):
    with pytest.raises(ValueError, match=f"^{named} cannot be chosen for depth-hrnet"):
        load_estimator("depth-hrnet", "cpu", **options)


def test_auto_refuses_options_of_rgb_models_while_none_is_stored(store):
    with pytest.raises(ValueError, match=f"flip_test cannot be chosen.*pose weights pull {W48}"):
        load_estimator("auto", "cpu", store=store(), flip_test=True)


def test_the_depth_network_takes_a_batch_size():
    assert load_estimator("depth-hrnet", "cpu", batch_size=5).name == "depth-hrnet"
    with pytest.raises(ValueError, match="batch_size is 0"):
        load_estimator("depth-hrnet", "cpu", batch_size=0)


def test_both_are_the_best_stored_rgb_model_and_the_depth_network(store, files):
    rgb, depth = load_pair(device="cpu", store=store(W32, CHEAP), detector=CHEAP, flip_test=True)
    assert (rgb.name, depth.name) == (W32, "depth-hrnet")
    assert rgb.version.endswith("/flip")
    assert load_pair(device="cpu", store=store(W48), detector=CHEAP)[0].name == W48
    by_file, _ = load_pair(device="cpu", store=store(), weights=files[W32], detector=CHEAP)
    assert by_file.name == W32


def test_the_depth_network_of_a_pair_is_loaded_once_and_runs_once(store, monkeypatch):
    loaded, batches = [], []

    class Counting(DepthHRNet):
        def __init__(self, **options):
            super().__init__(**options)
            loaded.append(self)

        def detect(self, frames):
            batches.append(len(frames))
            return super().detect(frames)

    monkeypatch.setattr("pose.estimators.depth_hrnet.DepthHRNet", Counting)
    rgb, depth = load_pair(device="cpu", store=store(W32, CHEAP), detector=CHEAP)
    frames = [pose.Frame(order, 100, np.zeros((48, 64, 3), np.uint8), depthmap()) for order in range(3)]
    rgb.estimate(frames)
    assert depth.estimate(frames) == DepthHRNet().estimate(frames)
    assert (len(loaded), batches) == (1, [3])


def test_a_misspelt_option_is_refused(store):
    with pytest.raises(TypeError, match="batchsize"):
        load_pair(device="cpu", store=store(W32), batchsize=3)  # type: ignore[call-arg]


def test_both_need_an_rgb_model(store):
    with pytest.raises(InvalidWeights, match=f"pose weights pull {W48} {CHEAP}"):
        load_pair(device="cpu", store=store(), detector=CHEAP)


def test_every_detector_of_the_registry_can_be_built_and_no_other():
    assert list(DETECTORS) == list(pose.weights.registry.DETECTORS)
    assert next(iter(DETECTORS)) == DEFAULT_DETECTOR

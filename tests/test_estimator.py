"""Estimators are chosen by name, and their device as the user says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pose
import pose.weights
from pose.errors import DeviceUnavailable, InvalidWeights
from pose.estimator import Person, choose_device, load_estimator


@pytest.fixture
def gpus(monkeypatch):
    """gpus(n): torch sees n GPUs."""

    def see(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


def test_auto_takes_a_gpu_where_there_is_one(gpus):
    gpus(0)
    assert choose_device("auto") == "cpu"
    gpus(2)
    assert choose_device("auto") == "cuda"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_that_was_demanded_is_never_replaced_by_the_cpu(gpus, device):
    gpus(0)
    with pytest.raises(DeviceUnavailable, match=device):
        choose_device(device)


def test_only_gpus_that_are_there_can_be_demanded(gpus):
    gpus(2)
    assert choose_device("cuda") == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    assert choose_device("cuda:01") == "cuda:1"
    with pytest.raises(DeviceUnavailable, match="2 CUDA devices"):
        choose_device("cuda:2")


def test_the_cpu_is_taken_though_there_is_a_gpu(gpus):
    gpus(1)
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    "device", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "cuda:0\n", "mps"]
)
def test_nonsense_is_no_device(gpus, device):
    gpus(1)
    with pytest.raises(ValueError, match="expected auto, cpu, cuda or cuda:N"):
        choose_device(device)


def test_an_unknown_model_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"'hrnet'.*depth-hrnet"):
        load_estimator("hrnet")


def test_a_demanded_gpu_is_missed_before_weights_are_read(gpus):
    gpus(0)
    with pytest.raises(DeviceUnavailable):
        load_estimator(device="cuda")


def test_missing_weights_are_said_so(monkeypatch):
    monkeypatch.setattr(pose.weights, "EMBEDDED", "none.safetensors")
    with pytest.raises(InvalidWeights, match="installed whole"):
        load_estimator()


def test_the_score_is_the_mean_of_the_keypoints_scores():
    person = Person(np.zeros((17, 2)), np.linspace(0, 1, 17), (0, 0, 1, 1), 0.9)
    assert person.score == pytest.approx(0.5)


def test_it_is_exported():
    assert pose.load_estimator is load_estimator

"""An HRNet that is ready for a GPU gives the same heatmaps; here all of it runs on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from pose.errors import InvalidWeights
from pose.estimators.gpu_network import fold_batch_norms, fuse_activations, to_gpu
from pose.hrnet import HRNet
from tests.support import tiny
from tests.unit.pose.estimators.test_topdown import random_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> HRNet:
    return random_network(tiny.tiny_network())


def inputs(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_folded_batch_norms_do_not_change_heatmaps(network):
    folded = fold_batch_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert torch.allclose(folded(inputs()), network(inputs()), atol=1e-5)


@torch.inference_mode()
def test_in_fp16_the_last_layer_alone_is_float32(network):
    ready = to_gpu(network, CPU, "fp16")
    types = {name: value.dtype for name, value in ready.named_parameters()}
    assert {name for name, dtype in types.items() if dtype == torch.float32} == {
        "final_layer.weight",
        "final_layer.bias",
    }
    assert set(types.values()) == {torch.float16, torch.float32}
    heat, exact = ready(inputs()), network(inputs())
    assert heat.dtype == torch.float32
    assert 1e-5 < (heat - exact).abs().max() < 5e-3 * exact.abs().max()


@torch.inference_mode()
def test_in_fp32_the_network_stays_as_it_is(network):
    expected = network(inputs())
    ready = to_gpu(network, CPU, "fp32")
    assert ready is network
    assert torch.allclose(ready(inputs()), expected, atol=1e-6)


def test_a_network_whose_values_are_too_large_for_fp16_is_refused(network):
    large = copy.deepcopy(network)
    with torch.no_grad():
        large.conv1.weight *= 1e6
        large.bn1.weight *= 1e6
    with pytest.raises(InvalidWeights, match="choose the precision fp32"):
        to_gpu(large, CPU, "fp16")


@torch.inference_mode()
def test_fused_activations_do_not_change_heatmaps(network, monkeypatch):
    calls = []

    def conv_relu(x, weight, bias, *others):
        calls.append("relu")
        return conv2d(x, weight, bias, *others).relu()

    def conv_add_relu(x, weight, z, alpha, bias, *others):
        calls.append("add")
        return (conv2d(x, weight, bias, *others) + alpha * z).relu()

    # cuDNN's own run on a GPU only.
    monkeypatch.setattr(torch, "cudnn_convolution_relu", conv_relu)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", conv_add_relu)
    fused = fold_batch_norms(network)
    fuse_activations(fused)
    assert torch.allclose(fused(inputs()), network(inputs()), atol=1e-5)
    blocks = sum(type(module).__name__ in ("BasicBlock", "Bottleneck") for module in network.modules())
    assert calls.count("add") == blocks
    # What is left: one ReLU after the stem's two convolutions, and one in each module's exchange.
    left = [name for name, module in fused.named_modules() if isinstance(module, nn.ReLU)]
    assert left == ["relu", *(f"stage{i}.0.relu" for i in (2, 3, 4))]

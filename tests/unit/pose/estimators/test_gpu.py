"""What runs on a GPU gives the same as the steps on a CPU; here all of it runs on the CPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pose.errors import InvalidWeights
from pose.estimators.gpu import (
    FixedBatches,
    as_stored,
    batch_sizes,
    fold_batch_norms,
    to_gpu,
    upload_picture,
)
from pose.hrnet import HRNet
from tests.support import tiny
from tests.support.views import views
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


def test_a_batch_is_at_least_half_of_the_recorded_one():
    for largest in (1, 2, 5, 16, 100):
        sizes = batch_sizes(largest)
        assert sizes[-1] == largest and sizes[0] == 1
        for count in range(1, largest + 1):
            assert next(size for size in sizes if size >= count) <= max(count, 1.5 * count - 0.5, 2)


def test_batches_of_any_size_are_filled_up_and_keep_their_answers():
    steps = []

    def record(step, static):
        output = step(static)

        def replay():
            steps.append(len(static))
            output.copy_(step(static))

        return replay, output

    batches = FixedBatches(lambda x: x.sum(dim=1) * 2, (3,), torch.float32, CPU, 5, record)
    given = [torch.arange(3.0 * n).reshape(n, 3) + n for n in (5, 1, 4, 2, 5, 3)]
    answers = [batches(each) for each in given]  # the answer of a batch outlives the next one
    for each, answer in zip(given, answers, strict=True):
        assert torch.equal(answer, each.sum(dim=1) * 2)
    assert steps == [5, 1, 4, 2, 5, 3]
    steps.clear()
    batches = FixedBatches(lambda x: x, (3,), torch.float32, CPU, 16, record)
    assert len(batches(torch.zeros(9, 3))) == 9
    assert steps == [12]


@pytest.mark.parametrize("view", views())
def test_a_turned_view_arrives_as_it_is_seen(view):
    assert np.array_equal(upload_picture(view, CPU).numpy(), view)


def test_a_turned_picture_is_copied_in_the_order_of_its_memory():
    for view in views()[:8]:
        stored, *_ = as_stored(view)
        assert stored.flags.c_contiguous

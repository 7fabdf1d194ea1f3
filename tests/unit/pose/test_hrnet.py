"""HRNet's structure is the published one: names, shapes, wiring."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, interpolate, relu

import pose
from pose.hrnet import VARIANTS, Variant, build_hrnet
from tests.support.tiny import TINY, tiny_network

MODULES = {2: 1, 3: 4, 4: 3}  # of stages 2, 3, 4 in the authors' experiments/coco/hrnet/*.yaml


def published(width, joints=17):
    """Names and shapes of the state dict of the authors' `pose_hrnet.py`, written down from its structure."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name, out, channels, size):
        shapes[f"{name}.weight"] = (out, channels, size, size)

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    def conv_norm(name, out, channels, size=3):
        conv(f"{name}.0", out, channels, size)
        norm(f"{name}.1", out)

    for i, channels in ((1, 3), (2, 64)):
        conv(f"conv{i}", 64, channels, 3)
        norm(f"bn{i}", 64)
    for block in range(4):
        channels = 256 if block else 64
        for i, (out, into, size) in enumerate(((64, channels, 1), (64, 64, 3), (256, 64, 1)), 1):
            conv(f"layer1.{block}.conv{i}", out, into, size)
            norm(f"layer1.{block}.bn{i}", out)
    conv_norm("layer1.0.downsample", 256, 64, 1)

    widths = [width, 2 * width, 4 * width, 8 * width]
    conv_norm("transition1.0", widths[0], 256)
    conv_norm("transition1.1.0", widths[1], 256)
    conv_norm("transition2.2.0", widths[2], widths[1])
    conv_norm("transition3.3.0", widths[3], widths[2])
    for stage, modules in MODULES.items():
        for module in range(modules):
            name = f"stage{stage}.{module}"
            for branch in range(stage):
                for block in range(4):
                    for i in (1, 2):
                        conv(f"{name}.branches.{branch}.{block}.conv{i}", widths[branch], widths[branch], 3)
                        norm(f"{name}.branches.{branch}.{block}.bn{i}", widths[branch])
            last = stage == 4 and module == modules - 1
            for to in range(1 if last else stage):
                for source in range(stage):
                    fuse = f"{name}.fuse_layers.{to}.{source}"
                    if source > to:
                        conv_norm(fuse, widths[to], widths[source], 1)
                    for step in range(to - source):
                        out = widths[to] if step == to - source - 1 else widths[source]
                        conv_norm(f"{fuse}.{step}", out, widths[source])
    conv("final_layer", joints, width, 1)
    shapes["final_layer.bias"] = (joints,)
    return shapes


def on_paper(variant, **channels):
    """A network without values: nothing is computed to look at its shapes."""
    with torch.device("meta"):
        return build_hrnet(variant, **channels)


@pytest.mark.parametrize(("variant", "width"), [("w32", 32), ("w48", 48)])
def test_names_and_shapes_are_those_of_the_published_checkpoints(variant, width):
    state = on_paper(variant).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == published(width)


def test_the_sizes_are_the_published_ones():
    def parameters(variant):
        return sum(parameter.numel() for parameter in on_paper(variant).parameters())

    assert parameters("w32") == 28_536_113
    assert parameters("w48") == pytest.approx(63.6e6, rel=1e-3)
    assert len(on_paper("w32").state_dict()) == 1754


def reference(state, x):
    """The authors' forward pass, by function calls on a state dict. `branches` etc. as `TINY` has them."""

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return conv2d(x, weight, state.get(f"{name}.bias"), stride, padding=weight.shape[-1] // 2)

    def norm(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, var, weight, bias)

    def conv_norm(x, name, stride=1):
        return norm(conv(x, f"{name}.0", stride), f"{name}.1")

    def block(x, name, last=2):
        out = x
        for i in range(1, last + 1):
            out = norm(conv(out, f"{name}.conv{i}"), f"{name}.bn{i}")
            out = relu(out) if i < last else out
        return relu(
            out + (conv_norm(x, f"{name}.downsample") if f"{name}.downsample.0.weight" in state else x)
        )

    def module(inputs, name, outputs):
        own = [block(x, f"{name}.branches.{i}.0") for i, x in enumerate(inputs)]
        results = []
        for to in range(outputs):
            terms = []
            for source, x in enumerate(own):
                fuse = f"{name}.fuse_layers.{to}.{source}"
                if source > to:
                    x = interpolate(conv_norm(x, fuse), scale_factor=2 ** (source - to), mode="nearest")
                for step in range(to - source):
                    x = conv_norm(x, f"{fuse}.{step}", stride=2)
                    x = relu(x) if step < to - source - 1 else x
                terms.append(x)
            results.append(relu(sum(terms[1:], terms[0])))
        return results

    x = relu(norm(conv(x, "conv1", 2), "bn1"))
    x = relu(norm(conv(x, "conv2", 2), "bn2"))
    x = block(x, "layer1.0", last=3)
    y = [relu(conv_norm(x, "transition1.0")), relu(conv_norm(x, "transition1.1.0", 2))]
    y = module(y, "stage2.0", 2)
    y = module([*y, relu(conv_norm(y[-1], "transition2.2.0", 2))], "stage3.0", 3)
    y = module([*y, relu(conv_norm(y[-1], "transition3.3.0", 2))], "stage4.0", 1)
    return conv(y[0], "final_layer")


@torch.no_grad()
def test_the_output_is_that_of_the_published_forward_pass():
    network = tiny_network()
    for value in network.state_dict().values():  # fresh statistics would hide a normalisation left out
        if value.is_floating_point():
            value.add_(0.3 * torch.rand_like(value))
    x = torch.randn(2, 3, 64, 96)
    assert torch.allclose(network(x), reference(network.state_dict(), x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_heatmaps_have_a_quarter_of_the_inputs_size(variant):
    network = on_paper(variant, in_channels=5, out_channels=7)
    assert network(torch.empty(2, 5, 64, 96, device="meta")).shape == (2, 7, 16, 24)


def test_a_checkpoint_with_a_missing_or_unknown_tensor_is_refused():
    state = tiny_network().state_dict()
    missing = {name: value for name, value in state.items() if name != "stage4.0.fuse_layers.0.3.1.bias"}
    with pytest.raises(RuntimeError, match=r"Missing key.*stage4\.0\.fuse_layers\.0\.3\.1\.bias"):
        tiny_network().load_state_dict(missing)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*head"):
        tiny_network().load_state_dict({**state, "head.weight": torch.zeros(1)})


def test_an_unknown_variant_is_refused_with_a_list_of_the_known_ones():
    with pytest.raises(ValueError, match=r"'w64'.*w32, w48, w16-small"):
        build_hrnet("w64")


@pytest.mark.parametrize("channels", [{"in_channels": 0}, {"out_channels": -1}])
def test_a_number_of_channels_that_is_not_positive_is_refused(channels):
    with pytest.raises(ValueError, match="channels must be positive"):
        build_hrnet(TINY, **channels)


def test_an_own_variant_needs_no_name():
    network = build_hrnet(Variant(4, (1, 1, 1), 1, 4, (1, 1)), in_channels=1)
    assert network.training
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 17, 8, 8)


def test_it_is_exported():
    assert pose.hrnet.build_hrnet is build_hrnet

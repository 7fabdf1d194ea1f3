"""Make an HRNet ready for a GPU: float16, with fewer kernels, which run side by side."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pose.errors import InvalidWeights
from pose.estimators.gpu import Precision
from pose.hrnet import BasicBlock, Bottleneck, ExchangeModule, HRNet

_PROBE: Final = 64  # pixels: side of the input that shows whether float16 is enough


def fold_batch_norms(network: HRNet) -> HRNet:
    """Return a copy of a network, in evaluation mode, whose convolutions contain the batch norms after them.

    A batch norm must be registered directly after its convolution, as in `pose.hrnet`.
    """
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        before = ""
        for name, child in list(module.named_children()):
            conv = getattr(module, before, None)
            if isinstance(child, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
                setattr(module, before, fuse_conv_bn_eval(conv, child))
                setattr(module, name, nn.Identity())
            before = name
    return folded


def to_gpu(network: HRNet, device: torch.device, precision: Precision) -> HRNet:
    """Make an HRNet on the CPU ready for a GPU and return it; it still takes and returns float32.

    With "fp16", all layers but the last compute in float16, with fewer kernels. The last one stays in
    float32: many cells of a heatmap would have equal values in float16.

    Raises:
        InvalidWeights: values in the network are too large for float16.
    """
    network.eval()
    if precision == "fp32":
        return network.to(device).to(memory_format=torch.channels_last)
    ready = fold_batch_norms(network)
    ready.half()
    ready.final_layer.float()
    ready.to(device).to(memory_format=torch.channels_last)
    if device.type == "cuda":
        fuse_activations(ready)
        run_side_by_side(ready)
    random = torch.Generator().manual_seed(0)
    probe = torch.randn(1, network.conv1.in_channels, _PROBE, _PROBE, generator=random)
    with torch.inference_mode():
        if not ready(probe.to(device)).isfinite().all():
            raise InvalidWeights("the network's values are too large for float16: choose the precision fp32")
    return ready


def fuse_activations(network: nn.Module) -> None:
    """Let cuDNN compute the sum of a residual block, and each ReLU, within the convolution before it.

    Batch norms must be folded.
    """
    for name, child in list(network.named_children()):
        if isinstance(child, BasicBlock):
            setattr(network, name, _Block([child.conv1, child.conv2], None))
        elif isinstance(child, Bottleneck):
            setattr(network, name, _Block([child.conv1, child.conv2, child.conv3], child.downsample))
        elif [type(each) for each in child.children()] == [nn.Conv2d, nn.Identity, nn.ReLU]:
            setattr(network, name, _ConvReLU(next(child.children())))
        else:
            fuse_activations(child)


class _ConvReLU(nn.Module):
    """ReLU(convolution(x))."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return torch.cudnn_convolution_relu(x, *_arguments(self.conv))


class _Block(nn.Module):
    """A BasicBlock or Bottleneck: convolutions with ReLU, the last one after the sum with the input."""

    def __init__(self, convs: list[nn.Conv2d], downsample: nn.Module | None) -> None:
        super().__init__()
        self.first = nn.Sequential(*map(_ConvReLU, convs[:-1]))
        self.last = convs[-1]
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        added = x if self.downsample is None else self.downsample(x)
        weight, *others = _arguments(self.last)
        return torch.cudnn_convolution_add_relu(self.first(x), weight, added, 1.0, *others)


def _arguments(conv: Any) -> list[Any]:
    return [conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups]


def run_side_by_side(network: nn.Module) -> None:
    """Let the branches of each module of an HRNet on a GPU run side by side: small ones do not fill it."""
    for name, child in list(network.named_children()):
        if isinstance(child, ExchangeModule):
            setattr(network, name, _SideBySide(child))
        else:
            run_side_by_side(child)


class _SideBySide(nn.Module):
    """An ExchangeModule whose branches run on streams of their own.

    Memory is not reused too early: each stream waits for the present one before it begins, and the present
    one waits for all of them before branches are exchanged.
    """

    def __init__(self, module: ExchangeModule) -> None:
        super().__init__()
        self.branches = module.branches
        module.branches = nn.ModuleList(nn.Identity() for _ in self.branches)
        self.exchange = module
        device = next(module.parameters()).device
        self.streams = [torch.cuda.Stream(device) for _ in self.branches]

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        here = torch.cuda.current_stream(inputs[0].device)
        own = []
        for stream, branch, x in zip(self.streams, self.branches, inputs, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                own.append(branch(x))
        for stream in self.streams:
            here.wait_stream(stream)
        fused: list[Tensor] = self.exchange(own)
        return fused

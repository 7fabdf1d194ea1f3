"""Other ways to run an HRNet on a GPU: fewer kernels, and kernels side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pose.hrnet import BasicBlock, Bottleneck, ExchangeModule


def fuse_relu(network: nn.Module) -> nn.Module:
    """Replace the blocks of an HRNet without batch norms by ones that run fewer kernels; return it."""
    for name, child in list(network.named_children()):
        if isinstance(child, BasicBlock):
            setattr(network, name, _Block([child.conv1, child.conv2], None))
        elif isinstance(child, Bottleneck):
            setattr(network, name, _Block([child.conv1, child.conv2, child.conv3], child.downsample))
        else:
            fuse_relu(child)
    return network


class _Block(nn.Module):
    def __init__(self, convs: list[nn.Conv2d], downsample: nn.Module | None) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        added = x if self.downsample is None else self.downsample(x)
        *first, last = self.convs
        for conv in first:
            x = torch.cudnn_convolution_relu(x, *_arguments(conv))
        weight, *others = _arguments(last)
        return torch.cudnn_convolution_add_relu(x, weight, added, 1.0, *others)


def _arguments(conv: Any) -> list[Any]:
    return [conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups]


def run_side_by_side(network: nn.Module) -> nn.Module:
    """Let the branches of an HRNet's modules run on streams of their own; return the network."""
    for name, child in list(network.named_children()):
        if isinstance(child, ExchangeModule):
            setattr(network, name, _SideBySide(child))
        else:
            run_side_by_side(child)
    return network


class _SideBySide(nn.Module):
    def __init__(self, module: ExchangeModule) -> None:
        super().__init__()
        self.module = module
        self.streams = [torch.cuda.Stream() for _ in module.branches]
        self.branches = list(module.branches)
        module.branches = nn.ModuleList(nn.Identity() for _ in self.branches)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        here = torch.cuda.current_stream()
        own = []
        for stream, branch, x in zip(self.streams, self.branches, inputs, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                own.append(branch(x))
        for stream in self.streams:
            here.wait_stream(stream)
        fused: list[Tensor] = self.module(own)
        return fused

"""HRNet with the activation (and the sum of a residual block) computed by cuDNN within the convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pose.hrnet import BasicBlock, Bottleneck


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

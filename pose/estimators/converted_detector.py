"""The parts of torchvision's detectors that OpenVINO runs: those that see the whole picture.

What depends on the number of proposals stays torchvision's: their choice, and the boxes made of them.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from pose.estimators.runtime import Converted

# The others are as fast with torch: their pictures are small.
CONVERTED: Final = ("fasterrcnn-resnet50-fpn", "fasterrcnn-mobilenet-v3-large-fpn")


def convert_detector(network: Any, name: str, folder: Path | None) -> None:
    """Replace the backbone of a detector and its region proposal head by converted ones, if that pays.

    Args:
        network: in evaluation mode, on the CPU.
        name: one of `pose.detectors.DETECTORS`.
        folder: of the stored weights, where converted networks are kept; None keeps none.

    Raises:
        InvalidWeights: see `Converted`.
    """
    if name not in CONVERTED:
        return
    channels = network.backbone.out_channels
    network.backbone = _Backbone(network.backbone, name, folder)
    network.rpn.head = _ProposalHead(network.rpn.head, channels, name, folder)


class _Backbone(nn.Module):
    """The backbone of a detector, run by OpenVINO: (N, 3, H, W) -> feature maps by name."""

    def __init__(self, backbone: nn.Module, label: str, folder: Path | None) -> None:
        super().__init__()
        with torch.inference_mode():
            self._names = list(backbone(torch.zeros(1, 3, 64, 64)))
        self._converted = Converted(_Values(backbone).eval(), 3, f"{label}-backbone", folder)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        return OrderedDict(zip(self._names, self._converted(pictures), strict=True))


class _Values(nn.Module):
    """A backbone without the names of its feature maps: OpenVINO returns a tuple."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.backbone(pictures).values())


class _ProposalHead(nn.Module):
    """The head of a region proposal network, run by OpenVINO on one feature map after the other."""

    def __init__(self, head: nn.Module, channels: int, label: str, folder: Path | None) -> None:
        super().__init__()
        self._converted = Converted(_OnOneMap(head).eval(), channels, f"{label}-proposals", folder)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        found = [self._converted(each) for each in features]
        return [scores for scores, _ in found], [boxes for _, boxes in found]


class _OnOneMap(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        (scores,), (boxes,) = self.head([features])
        return scores, boxes

"""The four person detectors of torchvision, in the form that fits the weights torchvision publishes.

Ren, He, Girshick, Sun: "Faster R-CNN", NIPS 2015 (arXiv 1506.01497), on a feature pyramid (arXiv 1612.03144);
SSDLite as in "Searching for MobileNetV3" (arXiv 1905.02244). Each network is built as torchvision builds it
for its published weights (with frozen batch norms), but nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn
from torchvision.models.detection import FasterRCNN, ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

CLASSES: Final = 91  # COCO's, as torchvision counts them, with the background


def _resnet50() -> nn.Module:
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    network = FasterRCNN(backbone, num_classes=CLASSES)
    # These weights come from before torchvision added an epsilon to frozen batch norms (pytorch/vision#2933).
    for module in network.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0
    return network


def _mobilenet() -> nn.Module:
    return _mobilenet_with()


def _mobilenet_320() -> nn.Module:
    return _mobilenet_with(
        min_size=320, max_size=640, rpn_pre_nms_top_n_test=150, rpn_post_nms_top_n_test=150
    )


def _mobilenet_with(**options: int) -> nn.Module:
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large", weights=None, fpn=True, trainable_layers=3
    )
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    return FasterRCNN(backbone, CLASSES, rpn_anchor_generator=anchors, rpn_score_thresh=0.05, **options)


def _ssdlite() -> nn.Module:
    # Its batch norms are not frozen, so it is the same network with and without weights.
    network: nn.Module = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    return network


DETECTORS: Final[dict[str, Callable[[], nn.Module]]] = {
    "fasterrcnn-resnet50-fpn": _resnet50,
    "fasterrcnn-mobilenet-v3-large-fpn": _mobilenet,
    "fasterrcnn-mobilenet-v3-large-320-fpn": _mobilenet_320,
    "ssdlite320-mobilenet-v3-large": _ssdlite,
}


def build_detector(name: str) -> nn.Module:
    """Return a detector with random weights, in training mode.

    Raises:
        ValueError: there is no such detector.
    """
    if name not in DETECTORS:
        raise ValueError(f"unknown detector {name!r}, expected one of {', '.join(DETECTORS)}")
    return DETECTORS[name]()

"""HRNet for pose: a tensor in, heatmaps out.

Sun, Xiao, Liu, Wang: "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019
(arXiv 1902.09212). The network keeps a branch at a quarter of the input's size from its first stage to its
last, adds branches at 1/8, 1/16 and 1/32 on the way, and exchanges features between all branches at the end
of every module.

Names and shapes in the state dict are those of the authors' published checkpoints, which load with
`strict=True`. Small variants have the same structure and names, with fewer channels, blocks and modules.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from pose.checks import kind_of


@dataclass(frozen=True)
class Variant:
    """The parameters of an HRNet.

    Attributes:
        width: channels of the branch with the highest resolution; branch i has `width * 2**i`.
        modules: number of exchange modules in stages 2, 3 and 4.
        blocks: residual blocks in a branch of a module.
        stem: channels of the two strided convolutions.
        layer1: bottleneck planes and number of bottlenecks in stage 1 (which has `4 * planes` outputs).
    """

    width: int
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    stem: int = 64
    layer1: tuple[int, int] = (64, 4)


VARIANTS: dict[str, Variant] = {
    "w32": Variant(32),
    "w48": Variant(48),
    # Narrow enough for a CPU. Named like the authors' HRNet-W18-small: fewer modules and blocks.
    "w16-small": Variant(16, modules=(1, 2, 1), blocks=2, stem=32, layer1=(32, 2)),
    "w20-small": Variant(20, modules=(1, 2, 1), blocks=2, stem=32, layer1=(32, 2)),
    "w24-small": Variant(24, modules=(1, 2, 1), blocks=2, stem=32, layer1=(32, 2)),
}


def build_hrnet(variant: str | Variant, *, in_channels: int = 3, out_channels: int = 17) -> HRNet:
    """Return a network with random weights, in training mode.

    Args:
        variant: a name in `VARIANTS`, or a `Variant` of your own.
        in_channels: channels of the input, 3 for RGB pictures.
        out_channels: number of heatmaps, 17 for COCO's keypoints.

    Raises:
        ValueError: there is no such variant, or a number of channels is not positive.

    >>> import torch
    >>> build_hrnet("w16-small")(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 17, 16, 16])
    """
    if isinstance(variant, str):
        if variant not in VARIANTS:
            raise ValueError(f"unknown HRNet variant {variant!r}, expected one of {', '.join(VARIANTS)}")
        variant = VARIANTS[variant]
    if in_channels < 1 or out_channels < 1:
        raise ValueError(f"channels must be positive, not {in_channels} in and {out_channels} out")
    return HRNet(variant, in_channels, out_channels)


class HRNet(nn.Module):
    """(N, in_channels, H, W) → (N, out_channels, H/4, W/4). H and W are multiples of 32.

    Tensors are converted to the type of the first layer's weights, and to that of the last layer's weights
    before the last layer.

    Raises:
        ValueError: the input is another tensor, or none.
    """

    def __init__(self, variant: Variant, in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [variant.width * 2**i for i in range(4)]
        planes, bottlenecks = variant.layer1

        self.conv1 = nn.Conv2d(in_channels, variant.stem, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(variant.stem)
        self.conv2 = nn.Conv2d(variant.stem, variant.stem, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(variant.stem)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            Bottleneck(variant.stem, planes),
            *(Bottleneck(4 * planes, planes) for _ in range(bottlenecks - 1)),
        )
        self.transition1 = _transition([4 * planes], widths[:2])
        self.stage2 = _stage(widths[:2], variant.modules[0], variant.blocks)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], variant.modules[1], variant.blocks)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, variant.modules[2], variant.blocks, last=True)
        self.final_layer = nn.Conv2d(widths[0], out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        channels = self.conv1.in_channels
        if (
            not isinstance(x, Tensor)
            or x.ndim != 4
            or x.shape[1] != channels
            or any(s % 32 for s in x.shape[2:])
        ):
            came = tuple(x.shape) if isinstance(x, Tensor) else kind_of(x)
            raise ValueError(f"input is {came}, expected (N, {channels}, H, W), H and W multiples of 32")
        x = x.to(self.conv1.weight.dtype)
        x = self.relu(self.bn1(self.conv1(x)))  # (N, stem, H/2, W/2)
        x = self.relu(self.bn2(self.conv2(x)))  # (N, stem, H/4, W/4)
        branches = [self.layer1(x)]
        branches = self.stage2(_grow(self.transition1, branches))
        branches = self.stage3(_grow(self.transition2, branches))
        branches = self.stage4(_grow(self.transition3, branches))
        out: Tensor = self.final_layer(branches[0].to(self.final_layer.weight.dtype))
        return out


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the identity (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        result: Tensor = self.relu(out + x)
        return result


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with four times as many channels out as in between (He et al. 2016)."""

    def __init__(self, channels: int, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            None
            if channels == 4 * planes
            else nn.Sequential(nn.Conv2d(channels, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes))
        )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        result: Tensor = self.relu(out + (x if self.downsample is None else self.downsample(x)))
        return result


class ExchangeModule(nn.Module):
    """Residual blocks on each branch, then each branch becomes the sum of all branches, resized to it.

    The last module of the network returns the highest resolution only, as in the authors' code: nothing uses
    the others.
    """

    def __init__(self, widths: list[int], blocks: int, *, only_first: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths
        )
        outputs = widths[:1] if only_first else widths
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample(widths, source, target) for source in range(len(widths)))
            for target in range(len(outputs))
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        own = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        fused = []
        for row in self.fuse_layers:
            assert isinstance(row, nn.ModuleList)
            # Sum in the authors' order: other orders change the last bits of the result.
            total = row[0](own[0])
            for resample, x in zip(list(row)[1:], own[1:], strict=True):
                total = total + resample(x)
            fused.append(self.relu(total))
        return fused


class _Stage(nn.Sequential):
    """Modules one after the other. `nn.Sequential` passes one argument on: here the list of branches."""


def _stage(widths: list[int], modules: int, blocks: int, *, last: bool = False) -> _Stage:
    return _Stage(
        *(ExchangeModule(widths, blocks, only_first=last and i == modules - 1) for i in range(modules))
    )


def _resample(widths: list[int], source: int, target: int) -> nn.Module:
    """Resize branch `source` to the size and channels of branch `target`."""
    if source == target:
        return nn.Identity()
    if source > target:  # enlarge: 1x1 convolution, then nearest neighbour
        return nn.Sequential(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target]),
            nn.Upsample(scale_factor=2.0 ** (source - target), mode="nearest"),
        )
    steps: list[nn.Module] = []
    for step in range(target - source):  # shrink: one strided convolution for each halving
        final = step == target - source - 1
        out = widths[target] if final else widths[source]
        layers = [nn.Conv2d(widths[source], out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out)]
        steps.append(nn.Sequential(*layers) if final else nn.Sequential(*layers, nn.ReLU(inplace=True)))
    return nn.Sequential(*steps)


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Connect the branches of one stage to those of the next, which has one more."""
    layers: list[nn.Module] = []
    for i, width in enumerate(after):
        if i < len(before) and before[i] == width:
            layers.append(nn.Identity())
        elif i < len(before):
            layers.append(_conv_bn_relu(before[i], width, stride=1))
        else:
            layers.append(nn.Sequential(_conv_bn_relu(before[-1], width, stride=2)))
    return nn.ModuleList(layers)


def _conv_bn_relu(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )


def _grow(transition: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """Keep the existing branches and start the new one from the smallest."""
    return [layer(branches[i] if i < len(branches) else branches[-1]) for i, layer in enumerate(transition)]

"""The network that tells crown and stature from crops of a depth map and a skeleton."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose.stature.body import FEATURES
from pose.stature.crop import CHANNELS

# In metres: of what the network tells, about its mean and spread.
_UNIT = 0.1
_MIN_LOG_SCALE, _MAX_LOG_SCALE = -8.0, 0.0


def _block(channels: int, out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


class StatureNetwork(nn.Module):
    """Two small convolutional branches for head and body, and one of two layers for the figures.

    It tells two lengths with their Laplace scales: from the crop's centre to the crown along the body, and
    from `BodyView.rest` to the stature.
    """

    mean: Tensor  # of the features, (67,)
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.head = nn.Sequential(
            _block(CHANNELS, 20, 2), _block(20, 28, 1), _block(28, 36, 2), _block(36, 40, 2),
            nn.Flatten(), nn.Linear(40 * 25, 56), nn.ReLU(),
        )  # fmt: skip
        self.body = nn.Sequential(
            _block(CHANNELS, 16, 2), _block(16, 28, 2), _block(28, 36, 1), _block(36, 32, 2),
            nn.Flatten(), nn.Linear(32 * 45, 48), nn.ReLU(),
        )  # fmt: skip
        self.figures = nn.Sequential(
            nn.Linear(FEATURES, 96), nn.ReLU(), nn.Dropout(0.1), nn.Linear(96, 56), nn.ReLU()
        )
        self.crown = nn.Sequential(nn.Linear(56 + 56, 48), nn.ReLU(), nn.Linear(48, 2))
        self.stature = nn.Sequential(nn.Dropout(0.1), nn.Linear(160, 96), nn.ReLU(), nn.Linear(96, 2))

    def forward(self, head: Tensor, body: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lengths and the logarithms of their scales, each (N, 2), metres.

        Args:
            head: (N, 5, 40, 40).
            body: (N, 5, 72, 36).
            features: (N, 67), before the division by their deviation.
        """
        figures = self.figures(((features - self.mean) / self.deviation).clamp(-4, 4))
        skull = self.head(head)
        crown = self.crown(torch.cat([skull, figures], dim=1))
        rest = self.stature(torch.cat([skull, self.body(body), figures], dim=1))
        # The stature counts from the crown: its error is that of the crown and that of the rest.
        length = torch.stack([crown[:, 0], crown[:, 0].detach() + rest[:, 0]], dim=1) * _UNIT
        scale = torch.stack([crown[:, 1], rest[:, 1]], dim=1) - 4.0
        return length, scale.clamp(_MIN_LOG_SCALE, _MAX_LOG_SCALE)

"""Networks that try to undo a cover: one names who is under it, one draws what is under it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_BATCH: Final = 64
_SHIFT: Final = 3  # pixels by which lessons are moved about
_FACE: Final = 32  # pixels on each side of a face that is drawn
_WAYS_TO_DIFFER: Final = 32  # from the mean face: the first principal components of the lessons

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


def name_them(
    lessons: Images, who: NDArray[np.int64], questions: Images, truth: NDArray[np.int64], epochs: int
) -> float:
    """Share of the questions that a network taught by the lessons answers rightly.

    Args:
        lessons, questions: (N, S, S, 3) uint8.
        who, truth: (N,) int64, the number of the person.
    """
    torch.manual_seed(0)
    network = nn.Sequential(_looker(), nn.Dropout(0.3), nn.Linear(_FEATURES, int(who.max()) + 1))
    target = torch.from_numpy(who)

    def loss(inputs: Tensor, at: Tensor) -> Tensor:
        return nn.functional.cross_entropy(network(inputs), target[at], label_smoothing=0.05)

    _teach(network, _tensor(lessons), loss, epochs)
    answers = _answers(network, _tensor(questions)).argmax(dim=1)
    return float((answers == torch.from_numpy(truth)).float().mean())


def redraw_them(
    lessons: Images,
    faces: Images,
    masks: Masks,
    questions: Images,
    truth: Images,
    truth_masks: Masks,
    epochs: int,
) -> dict[str, float]:
    """How far a network's drawings are from what was covered, against always answering the mean face.

    Returns:
        "redrawn": the squared error as a share of that of the mean face of the lessons, so that 1 means that
        nothing came back; "redrawn_features": the same without each face's own mean colour.
    """
    torch.manual_seed(0)
    target, within = _small(faces, masks)
    mean = (target * within).sum(0, keepdim=True) / within.sum(0, keepdim=True).clamp(min=1)
    network = nn.Sequential(_looker(), nn.Dropout(0.3), _Drawer(mean, target, within))

    def loss(inputs: Tensor, at: Tensor) -> Tensor:
        return _error(network(inputs), target[at], within[at])

    # Training pictures are not moved about: the drawing would have to move with them.
    _teach(network, _tensor(lessons), loss, epochs, shift=0)
    drawn = _answers(network, _tensor(questions))
    shown, seen = _small(truth, truth_masks)
    mean = mean.expand_as(shown)
    return {
        "redrawn": float(_error(drawn, shown, seen) / _error(mean, shown, seen)),
        "redrawn_features": float(
            _error(_plain(drawn, seen), _plain(shown, seen), seen)
            / _error(_plain(mean, seen), _plain(shown, seen), seen)
        ),
    }


_FEATURES: Final = 128


def _looker() -> nn.Sequential:
    """(N, 3, S, S) → (N, _FEATURES)."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, _FEATURES)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    # 4 x 4 places are kept apart: where something is tells as much as that it is there.
    layers += [nn.Flatten(), nn.LazyLinear(_FEATURES), nn.BatchNorm1d(_FEATURES), nn.ReLU()]
    return nn.Sequential(*layers)


class _Drawer(nn.Module):
    """(N, _FEATURES) → (N, 3, _FACE, _FACE): the mean face and what faces differ from it in most.

    It begins as the mean face, and can draw no face that is wholly unlike those it was taught.
    """

    def __init__(self, mean: Tensor, faces: Tensor, within: Tensor) -> None:
        super().__init__()
        ways, differences = min(_WAYS_TO_DIFFER, len(faces)), ((faces - mean) * within).flatten(1)
        _, size, basis = torch.pca_lowrank(differences, ways, center=False)
        self.mean = mean
        self.basis = basis.T * size[:, None] / len(faces) ** 0.5
        self.weights = nn.Linear(_FEATURES, ways)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(self, features: Tensor) -> Tensor:
        differing: Tensor = self.weights(features) @ self.basis
        return self.mean + differing.unflatten(1, (3, _FACE, _FACE))


def _teach(
    network: nn.Module,
    lessons: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    shift: int = _SHIFT,
) -> None:
    network(lessons[:2])  # tells the lazy layer its size
    steps = epochs * -(-len(lessons) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    network.train()
    for _ in range(epochs):
        for at in torch.randperm(len(lessons)).split(_BATCH):
            dx, dy = torch.randint(-shift, shift + 1, (2,)).tolist()
            optimiser.zero_grad()
            loss(lessons[at].roll((dy, dx), (2, 3)), at).backward()
            optimiser.step()
            pace.step()


def _answers(network: nn.Module, questions: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in questions.split(_BATCH)])


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 128 - 1


def _small(images: Images, masks: Masks) -> tuple[Tensor, Tensor]:
    """Faces (N, 3, _FACE, _FACE) as they are to be drawn, and where: (N, 1, _FACE, _FACE)."""
    where = torch.from_numpy(masks)[:, None].float()
    faces, places = (
        nn.functional.interpolate(x, (_FACE, _FACE), mode="area") for x in (_tensor(images), where)
    )
    return faces, (places > 0.5).float()


def _error(drawn: Tensor, shown: Tensor, seen: Tensor) -> Tensor:
    return ((drawn - shown) ** 2 * seen).sum() / (3 * seen.sum())


def _plain(images: Tensor, seen: Tensor) -> Tensor:
    """Without each image's own mean colour."""
    mean = (images * seen).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp(min=1)
    return images - mean

"""Networks that attack a redaction: one identifies the person, one reconstructs the face.

The networks are trained on heads of known people and tested on other heads of the same people.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_BATCH: Final = 64
_SHIFT: Final = 3  # pixels; training images are shifted at random by up to this
_FACE: Final = 32  # pixels; width and height of a reconstructed face
_COMPONENTS: Final = 32  # principal components of the training faces that a reconstruction combines
_FEATURES: Final = 128  # of the encoder

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Identities = NDArray[np.int64]


def identification_accuracy(
    train_images: Images,
    train_identities: Identities,
    test_images: Images,
    test_identities: Identities,
    epochs: int,
) -> float:
    """Train a network to identify people; return the share of test images that it identifies.

    Args:
        train_images, test_images: (N, S, S, 3) uint8.
        train_identities, test_identities: (N,) int64, the number of the person.
    """
    torch.manual_seed(0)
    network = nn.Sequential(
        _encoder(), nn.Dropout(0.3), nn.Linear(_FEATURES, int(train_identities.max()) + 1)
    )
    target = torch.from_numpy(train_identities)

    def loss(inputs: Tensor, at: Tensor) -> Tensor:
        return nn.functional.cross_entropy(network(inputs), target[at], label_smoothing=0.05)

    _train(network, _to_tensor(train_images), loss, epochs)
    predicted = _predict(network, _to_tensor(test_images)).argmax(dim=1)
    return float((predicted == torch.from_numpy(test_identities)).float().mean())


def reconstruction_errors(
    train_images: Images,
    train_faces: Images,
    train_masks: Masks,
    test_images: Images,
    test_faces: Images,
    test_masks: Masks,
    epochs: int,
) -> dict[str, float]:
    """Train a network to reconstruct faces from redacted images; return its errors on the test images.

    Args:
        train_images, test_images: (N, S, S, 3) uint8, redacted.
        train_faces, test_faces: (N, S, S, 3) uint8, the same images before redaction.
        train_masks, test_masks: (N, S, S) bool, the redacted pixels.

    Returns:
        "redrawn": squared error relative to that of the mean training face; 1 means that nothing was
        reconstructed. "redrawn_features": the same after subtracting the mean colour of each face.
    """
    torch.manual_seed(0)
    target, within = _face_targets(train_faces, train_masks)
    mean = (target * within).sum(0, keepdim=True) / within.sum(0, keepdim=True).clamp(min=1)
    network = nn.Sequential(_encoder(), nn.Dropout(0.3), _Decoder(mean, target, within))

    def loss(inputs: Tensor, at: Tensor) -> Tensor:
        return _error(network(inputs), target[at], within[at])

    # No random shifts: the target would have to shift as well.
    _train(network, _to_tensor(train_images), loss, epochs, shift=0)
    predicted = _predict(network, _to_tensor(test_images))
    truth, valid = _face_targets(test_faces, test_masks)
    mean = mean.expand_as(truth)
    return {
        "redrawn": float(_error(predicted, truth, valid) / _error(mean, truth, valid)),
        "redrawn_features": float(
            _error(_centred(predicted, valid), _centred(truth, valid), valid)
            / _error(_centred(mean, valid), _centred(truth, valid), valid)
        ),
    }


def _encoder() -> nn.Sequential:
    """Return a network (N, 3, S, S) -> (N, _FEATURES)."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64), (64, _FEATURES)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    # Flatten, do not pool: the position of a feature tells as much as the feature.
    layers += [nn.Flatten(), nn.LazyLinear(_FEATURES), nn.BatchNorm1d(_FEATURES), nn.ReLU()]
    return nn.Sequential(*layers)


class _Decoder(nn.Module):
    """(N, _FEATURES) -> (N, 3, _FACE, _FACE): the mean face plus principal components ("eigenfaces").

    It starts with the mean face, and is limited to combinations of the training faces.
    """

    def __init__(self, mean: Tensor, faces: Tensor, within: Tensor) -> None:
        super().__init__()
        count, differences = min(_COMPONENTS, len(faces)), ((faces - mean) * within).flatten(1)
        _, size, basis = torch.pca_lowrank(differences, count, center=False)
        self.mean = mean
        self.basis = basis.T * size[:, None] / len(faces) ** 0.5
        self.weights = nn.Linear(_FEATURES, count)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(self, features: Tensor) -> Tensor:
        difference: Tensor = self.weights(features) @ self.basis
        return self.mean + difference.unflatten(1, (3, _FACE, _FACE))


def _train(
    network: nn.Module,
    images: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    shift: int = _SHIFT,
) -> None:
    network(images[:2])  # gives the lazy layer its size
    steps = epochs * -(-len(images) // _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    network.train()
    for _ in range(epochs):
        for at in torch.randperm(len(images)).split(_BATCH):
            dx, dy = torch.randint(-shift, shift + 1, (2,)).tolist()
            optimiser.zero_grad()
            loss(images[at].roll((dy, dx), (2, 3)), at).backward()
            optimiser.step()
            schedule.step()


def _predict(network: nn.Module, images: Tensor) -> Tensor:
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in images.split(_BATCH)])


def _to_tensor(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 128 - 1


def _face_targets(images: Images, masks: Masks) -> tuple[Tensor, Tensor]:
    """Return the faces to reconstruct (N, 3, _FACE, _FACE) and their valid pixels (N, 1, _FACE, _FACE)."""
    where = torch.from_numpy(masks)[:, None].float()
    faces, places = (
        nn.functional.interpolate(x, (_FACE, _FACE), mode="area") for x in (_to_tensor(images), where)
    )
    return faces, (places > 0.5).float()


def _error(predicted: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Return the mean squared error of the valid pixels."""
    return ((predicted - truth) ** 2 * valid).sum() / (3 * valid.sum())


def _centred(images: Tensor, valid: Tensor) -> Tensor:
    """Return the images minus the mean colour of each."""
    mean = (images * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
    return images - mean

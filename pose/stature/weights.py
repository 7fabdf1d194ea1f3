"""The stature network with its weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pose.errors import InvalidWeights
from pose.stature.body import mirrored
from pose.stature.combine import Calibrations
from pose.stature.network import StatureNetwork
from pose.weights.checkpoint import MIB, read_checkpoint

EMBEDDED: Final = "stature.safetensors"
MAX_BYTES: Final = 4 * MIB

Pair = tuple[float, float]


class StatureModel:
    """Tells crown and stature from crops.

    Attributes:
        calibrations: of the intervals.
        version: of the weights.
    """

    def __init__(self, network: StatureNetwork, calibrations: Calibrations, version: str) -> None:
        self._network = network.eval()
        self.calibrations = calibrations
        self.version = version

    @torch.inference_mode()
    def predict(
        self, head: NDArray[np.float32], body: NDArray[np.float32], features: NDArray[np.float32]
    ) -> tuple[Pair, Pair]:
        """Return two lengths in metres, and the scales of their errors.

        Args:
            head, body, features: see `BodyView.inputs`. They and their mirror image are averaged.

        Returns:
            From the crop's centre to the crown along the body, and from `BodyView.rest` to the stature.
        """
        both = zip((head, body, features), mirrored(head, body, features), strict=True)
        lengths, scales = self._network(*(torch.from_numpy(np.stack(pair)) for pair in both))
        (crown, rest), (crown_scale, scale) = lengths.mean(0).tolist(), scales.mean(0).exp().tolist()
        return (crown, rest), (crown_scale, scale)


def read_stature_model(path: Path | None = None) -> StatureModel:
    """Read weights that `pose.training.stature` wrote; None takes those in the package.

    Raises:
        InvalidWeights: the file is missing, damaged, or of another network.
    """
    path = Path(str(resources.files("pose") / "data" / EMBEDDED)) if path is None else path
    checkpoint = read_checkpoint(path, MAX_BYTES)
    network = StatureNetwork()
    try:
        network.load_state_dict(checkpoint.tensors)
        calibrations = Calibrations.parse(checkpoint.facts.get("calibration", ""))
    except (RuntimeError, ValueError) as error:
        raise InvalidWeights(f"weights {path.name}: {error}") from error
    return StatureModel(network, calibrations, checkpoint.facts["version"])

"""The one interface of all estimators: frames in, people out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pose.errors import DeviceUnavailable, InvalidWeights
from pose.estimators.base import Estimator
from pose.weights.registry import DEFAULT_DETECTOR, DEFAULT_POSE, POSE_MODELS

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

DEPTH: Final = "depth-hrnet"
ESTIMATORS: Final = (DEPTH, *POSE_MODELS)


def resolve_model(name: str, store: WeightsStore | None = None) -> str:
    """The estimator that a name means; "auto" is `DEFAULT_POSE` if its weights are stored, else depth-hrnet.

    Args:
        name: one of `ESTIMATORS`, or "auto".
        store: where weights are; None takes the user's own.

    Raises:
        ValueError: there is no such estimator.
    """
    known = (*ESTIMATORS, "auto")
    if name not in known:
        raise ValueError(
            f"unknown model {name!r}, expected one of {', '.join(known)}, or both where two are compared"
        )
    if name != "auto":
        return name
    return DEFAULT_POSE if _store(store).has(DEFAULT_POSE) else DEPTH


def load_estimator(
    name: str = "auto",
    device: str = "auto",
    *,
    store: WeightsStore | None = None,
    weights: Path | None = None,
    detector: str = DEFAULT_DETECTOR,
    detector_weights: Path | None = None,
    flip_test: bool = False,
    batch_size: int | None = None,
) -> Estimator:
    """Loads an estimator's weights and puts it on a device. Nothing is downloaded.

    Args:
        name: one of `ESTIMATORS`, or "auto" (see `resolve_model`; with `weights`, what that file is).
        device: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:N".
        store: where weights are; None takes the user's own.
        weights: an HRNet's file (.pth or .safetensors) instead of the store's.
        detector: which network finds the people for an RGB model, see `detection.DETECTORS`.
        detector_weights: its file instead of the store's.
        flip_test: of an RGB model: the mean over a crop and its mirror image, in twice the time.
        batch_size: crops (RGB) or depth maps that go through the network at once; None takes the model's own.

    Raises:
        ValueError: there is no such estimator, detector or device, or an option for RGB models is given to
            depth-hrnet.
        DeviceUnavailable: a GPU was demanded and is not there. It is never replaced by the CPU.
        InvalidWeights: weights are missing, damaged, or of another network.
    """
    # With a file of its own, "auto" is what that file is.
    chosen = None if name == "auto" and weights is not None else resolve_model(name, store)
    if chosen == DEPTH:
        _refuse_rgb_options(name, weights, detector, detector_weights, flip_test)
        return _load_depth(choose_device(device), batch_size)
    chosen_device = choose_device(device)
    from pose.estimators.rgb_hrnet import load_rgb  # torch is loaded with the first estimator, not at import

    return load_rgb(
        chosen,
        chosen_device,
        store=_store(store),
        weights=weights,
        detector=detector,
        detector_weights=detector_weights,
        flip_test=flip_test,
        batch_size=batch_size,
    )


def load_pair(
    name: str = "both",
    device: str = "auto",
    *,
    store: WeightsStore | None = None,
    weights: Path | None = None,
    detector: str = DEFAULT_DETECTOR,
    detector_weights: Path | None = None,
    flip_test: bool = False,
    batch_size: int | None = None,
) -> tuple[Estimator, Estimator]:
    """The best RGB model whose weights are there, and depth-hrnet, to be compared.

    Args: as of `load_estimator`; `name` is "both". `batch_size` is for both.

    Raises: as `load_estimator`; InvalidWeights too where no RGB model's weights are there.
    """
    if name != "both":
        raise ValueError(f"unknown pair of models {name!r}, expected both")
    if weights is None:
        best = next((rgb for rgb in POSE_MODELS if _store(store).has(rgb)), None)
        if best is None:
            raise InvalidWeights(
                f"both models were asked for, but no RGB model's weights are there: run "
                f"`pose weights pull {DEFAULT_POSE} {detector}` where there is a network"
            )
    else:
        best = "auto"
    rgb = load_estimator(
        best,
        device,
        store=store,
        weights=weights,
        detector=detector,
        detector_weights=detector_weights,
        flip_test=flip_test,
        batch_size=batch_size,
    )
    return rgb, load_estimator(DEPTH, device, batch_size=batch_size)


def _refuse_rgb_options(
    name: str, weights: Path | None, detector: str, detector_weights: Path | None, flip_test: bool
) -> None:
    """For the depth network, which looks at no picture."""
    options = {
        "weights": weights is not None,
        "detector": detector != DEFAULT_DETECTOR,
        "detector_weights": detector_weights is not None,
        "flip_test": flip_test,
    }
    given = ", ".join(option for option, is_given in options.items() if is_given)
    if given and name == "auto":
        raise ValueError(
            f"{given} cannot be chosen for {DEPTH}, which auto means as long as the weights of "
            f"{DEFAULT_POSE} are not there: run `pose weights pull {DEFAULT_POSE}`"
        )
    if given:
        raise ValueError(f"{given} cannot be chosen for {DEPTH}, which looks at no picture")


def _load_depth(device: str, batch_size: int | None) -> Estimator:
    from pose.estimators.depth_hrnet import DepthHRNet

    return (
        DepthHRNet(device=device) if batch_size is None else DepthHRNet(device=device, batch_size=batch_size)
    )


def _store(store: WeightsStore | None) -> WeightsStore:
    if store is not None:
        return store
    from pose.weights.store import WeightsStore

    return WeightsStore()


def choose_device(device: str) -> str:
    """The device of torch that a user's "auto", "cpu", "cuda" or "cuda:N" means.

    Raises:
        ValueError: it is none of these.
        DeviceUnavailable: torch sees no such GPU.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    if re.fullmatch(r"cuda(:[0-9]{1,3})?", device) is None:
        raise ValueError(f"unknown device {device!r}, expected auto, cpu, cuda or cuda:N")
    number = int(device.removeprefix("cuda").removeprefix(":") or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise DeviceUnavailable(f"device {device!r} was demanded, but torch sees {count} CUDA devices")
    return f"cuda:{number}" if ":" in device else device  # torch does not know "cuda:01"

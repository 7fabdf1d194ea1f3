"""Load an estimator by its name, on the device that the user wants. torch is imported when one is loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from pose.checks import check_type
from pose.errors import DeviceUnavailable, InvalidWeights
from pose.estimators.base import Estimator
from pose.weights.registry import DEFAULT_DETECTOR, DEFAULT_POSE, DETECTORS, POSE_MODELS

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

DEPTH: Final = "depth-hrnet"
ESTIMATORS: Final = (DEPTH, *POSE_MODELS)
_DETECTOR_BATCH: Final = 4  # whole pictures, at most


class EstimatorOptions(TypedDict, total=False):
    """The keyword arguments of `load_estimator`, which explains them, and of `load_pair`."""

    store: WeightsStore | None
    weights: Path | None
    detector: str
    detector_weights: Path | None
    flip_test: bool
    batch_size: int | None


def resolve_model(name: str, store: WeightsStore) -> str:
    """Return the estimator that a name means: "auto" is `DEFAULT_POSE` if it is stored, else depth-hrnet.

    Raises:
        ValueError: the name is neither one of `ESTIMATORS` nor "auto".
    """
    known = (*ESTIMATORS, "auto")
    if name not in known:
        raise ValueError(
            f"unknown model {name!r}, expected one of {', '.join(known)}, or both where two are compared"
        )
    if name != "auto":
        return name
    return DEFAULT_POSE if store.has(DEFAULT_POSE) else DEPTH


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
    """Load an estimator's weights and put it on a device. Nothing is downloaded.

    Args:
        name: one of `ESTIMATORS`, or "auto": with `weights`, the model that this file is of; without, the
            best RGB model if its weights are stored, else depth-hrnet.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
        store: the stored weights; None takes those in the user's cache folder.
        weights: an HRNet's file (.pth or .safetensors) to use instead of stored weights.
        detector: the network that finds the people for an RGB model, one of `pose.detectors.DETECTORS`.
        detector_weights: the detector's file to use instead of stored weights.
        flip_test: RGB models only: average the heatmaps of a crop and of its mirror image; twice the time.
        batch_size: crops (RGB) or depth maps in one batch; None takes the model's own.

    Raises:
        ValueError: there is no such estimator, detector or device, or an option of RGB models is given for
            depth-hrnet.
        DeviceUnavailable: the GPU that `device` names is not there. The CPU never replaces it.
        InvalidWeights: weights are missing, damaged, or of another network.
    """
    from pose.weights.store import WeightsStore

    for option, file in (("weights", weights), ("detector_weights", detector_weights)):
        if file is not None:
            check_type(file, (str, os.PathLike), option)
    store = WeightsStore() if store is None else store
    of_file = name == "auto" and weights is not None
    model = name if of_file else resolve_model(name, store)
    if model == DEPTH:
        rgb_options = {
            "weights": weights is not None,
            "detector": detector != DEFAULT_DETECTOR,
            "detector_weights": detector_weights is not None,
            "flip_test": flip_test,
        }
        _refuse_for_depth(name, [option for option, is_given in rgb_options.items() if is_given])
        return _load_depth(choose_device(device), batch_size)
    device = choose_device(device)
    if detector not in DETECTORS:
        raise ValueError(f"unknown detector {detector!r}, expected one of {', '.join(DETECTORS)}")
    from pose.estimators.detector import Detector
    from pose.estimators.rgb_hrnet import LOW_CONFIDENCE_SCORE, RGBHRNet
    from pose.estimators.topdown import BATCH, TopDown, input_size_of
    from pose.weights.ingest import read_weights_file

    hrnet = store.load(model) if weights is None else read_weights_file(weights, None if of_file else model)
    if detector_weights is None:
        boxes = store.load(detector)
    else:
        boxes = read_weights_file(detector_weights, detector)
    crops = BATCH if batch_size is None else batch_size
    pictures = min(_DETECTOR_BATCH, crops)
    finder = Detector(boxes, detector, device, pictures, low_confidence_score=LOW_CONFIDENCE_SCORE)
    pose = TopDown(hrnet, None, input_size_of(hrnet), device, flip_test, crops)
    depth = _load_depth(device, batch_size)
    return RGBHRNet(finder, pose, hrnet.facts["name"], hrnet.facts["version"], depth)


def load_pair(
    name: str = "both", device: str = "auto", **options: Unpack[EstimatorOptions]
) -> tuple[Estimator, Estimator]:
    """Load the best RGB model whose weights are stored, and depth-hrnet to compare it with.

    The RGB model uses depth-hrnet too: it is loaded once, and runs once for each frame.

    Args:
        name: "both".
        device: as for `load_estimator`.
        options: as for `load_estimator`; `batch_size` applies to both.

    Raises: as `load_estimator`; InvalidWeights too if no RGB model's weights are stored.
    """
    from pose.estimators.cached import CachedEstimator
    from pose.estimators.rgb_hrnet import RGBHRNet
    from pose.weights.store import WeightsStore

    if name != "both":
        raise ValueError(f"unknown pair of models {name!r}, expected both")
    best = "auto"
    if options.get("weights") is None:
        store = options.get("store") or WeightsStore()
        stored = [rgb for rgb in POSE_MODELS if store.has(rgb)]
        if not stored:
            raise InvalidWeights(
                "both models were asked for, but no RGB model's weights are stored: run `pose weights pull "
                f"{DEFAULT_POSE} {options.get('detector', DEFAULT_DETECTOR)}` where there is a network"
            )
        best = stored[0]
    rgb = load_estimator(best, device, **options)
    assert isinstance(rgb, RGBHRNet)
    rgb.depth = CachedEstimator(rgb.depth)
    return rgb, rgb.depth


def _refuse_for_depth(name: str, options: list[str]) -> None:
    """Refuse options that the depth network cannot use, since it uses no pictures."""
    given = ", ".join(options)
    if given and name == "auto":
        raise ValueError(
            f"{given} cannot be chosen for {DEPTH}, which auto means as long as the weights of "
            f"{DEFAULT_POSE} are not stored: run `pose weights pull {DEFAULT_POSE}`"
        )
    if given:
        raise ValueError(f"{given} cannot be chosen for {DEPTH}, which uses no pictures")


def _load_depth(device: str, batch_size: int | None) -> Estimator:
    from pose.estimators.depth_hrnet import BATCH, DepthHRNet

    return DepthHRNet(device=device, batch_size=BATCH if batch_size is None else batch_size)


def choose_device(device: str) -> str:
    """Return torch's name of the device that a user's "auto", "cpu", "cuda" or "cuda:N" means.

    Raises:
        ValueError: it is none of these.
        DeviceUnavailable: torch sees no such GPU.
    """
    import torch

    check_type(device, str, "device")
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

"""Load an estimator by its name, on the device that the user wants. torch is imported when one is loaded."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from pose.checks import check_choice, check_type
from pose.errors import DeviceUnavailable, InvalidWeights, RuntimeUnavailable
from pose.estimators.base import Estimator
from pose.estimators.carried_boxes import DetectOn
from pose.weights.registry import DEFAULT_DETECTOR, DEFAULT_POSE, DETECTORS, POSE_MODELS

if TYPE_CHECKING:
    from pose.estimators.gpu import Precision
    from pose.weights.store import WeightsStore

DEPTH: Final = "depth-hrnet"
ESTIMATORS: Final = (DEPTH, *POSE_MODELS)
RUNTIMES: Final = ("auto", "torch", "openvino")
PRECISIONS: Final = ("auto", "fp32", "fp16")
_HALF_SINCE: Final = (7, 0)  # compute capability of the first GPUs with tensor cores
_DETECTOR_BATCH: Final = 4  # whole pictures, at most


class EstimatorOptions(TypedDict, total=False):
    """The keyword arguments of `load_estimator`, which explains them, and of `load_pair`."""

    store: WeightsStore | None
    weights: Path | None
    detector: str
    detector_weights: Path | None
    flip_test: bool
    batch_size: int | None
    runtime: str
    detect: DetectOn
    precision: str


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
    runtime: str = "auto",
    detect: DetectOn = "every",
    precision: str = "auto",
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
        runtime: what runs the networks: "torch", "openvino" (on a CPU, converted networks are kept beside the
            stored weights), or "auto": openvino if it is installed and the device is the CPU.
        detect: RGB models only: the frames that the detector sees, "every", "sparse" or "depth", see
            `RGBHRNet`.
        precision: in which a GPU runs the networks: "fp32", "fp16", or "auto": RGB models in fp16 if the GPU
            has tensor cores, depth-hrnet in fp32. A CPU computes in fp32.

    Raises:
        ValueError: there is no such estimator, detector, device, runtime or precision, an option of RGB
            models is given for depth-hrnet, openvino is asked for on a GPU, or fp16 on a CPU.
        RuntimeUnavailable: openvino is asked for and not installed.
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
            "detect": detect != "every",
        }
        _refuse_for_depth(name, [option for option, is_given in rgb_options.items() if is_given])
        return _load_depth(choose_device(device), batch_size, runtime, _kept_in(store), precision)
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
    runtime, kept_in = choose_runtime(runtime, device), _kept_in(store)
    numbers = choose_precision(precision, device)
    crops = BATCH if batch_size is None else batch_size
    pictures = min(_DETECTOR_BATCH, crops)
    finder = Detector(
        boxes,
        detector,
        device,
        pictures,
        low_confidence_score=LOW_CONFIDENCE_SCORE,
        runtime=runtime,
        converted_in=kept_in,
        precision=numbers,
    )
    size = input_size_of(hrnet)
    pose = TopDown(hrnet, None, size, device, flip_test, crops, runtime, kept_in, numbers)
    depth = _load_depth(device, batch_size, runtime, kept_in, precision)
    return RGBHRNet(finder, pose, hrnet.facts["name"], hrnet.facts["version"], depth, detect)


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


def _load_depth(device: str, batch_size: int | None, runtime: str, folder: Path, precision: str) -> Estimator:
    from pose.estimators.depth_hrnet import BATCH, CPU_BATCH, DepthHRNet

    size = (CPU_BATCH if device == "cpu" else BATCH) if batch_size is None else batch_size
    numbers = choose_precision(precision, device)
    return DepthHRNet(
        device=device,
        batch_size=size,
        runtime=choose_runtime(runtime, device),
        converted_in=folder,
        # fp16 moves some keypoints by more than 0.1 pixels, and the network is small: it takes 4 ms a scan.
        precision="fp32" if precision == "auto" else numbers,
    )


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


def choose_runtime(runtime: str, device: str) -> str:
    """Return "torch" or "openvino" for what a user asked for and the device of `choose_device`.

    "auto" is OpenVINO if it is installed and the device is the CPU, else torch.

    Raises:
        ValueError: there is no such runtime, or OpenVINO was asked for on a GPU.
        RuntimeUnavailable: OpenVINO was asked for and is not installed.

    >>> choose_runtime("auto", "cuda:0")
    'torch'
    """
    check_choice(runtime, RUNTIMES, "runtime")
    on_cpu, installed = device == "cpu", has_openvino()
    if runtime != "openvino":
        return "openvino" if runtime == "auto" and on_cpu and installed else "torch"
    if not on_cpu:
        raise ValueError(
            f"the runtime openvino runs on the device cpu, not on {device}: choose torch or auto"
        )
    if not installed:
        raise RuntimeUnavailable(
            "the runtime openvino is not installed: pip install 'pose-worker[cpu]', or choose torch or auto"
        )
    return runtime


def choose_precision(precision: str, device: str) -> Precision:
    """Return "fp32" or "fp16" for what a user asked for and the device of `choose_device`.

    "auto" is fp16 on a GPU with tensor cores, else fp32.

    Raises:
        ValueError: there is no such precision, or fp16 was asked for on a CPU.

    >>> choose_precision("auto", "cpu")
    'fp32'
    """
    check_choice(precision, PRECISIONS, "precision")
    if device == "cpu":
        if precision == "fp16":
            raise ValueError("the precision fp16 needs a GPU, but the device is cpu: choose fp32 or auto")
        return "fp32"
    import torch

    if precision == "auto":
        return "fp16" if torch.cuda.get_device_capability(device) >= _HALF_SINCE else "fp32"
    return "fp16" if precision == "fp16" else "fp32"


def has_openvino() -> bool:
    """Return whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _kept_in(store: WeightsStore) -> Path:
    """Return the folder for converted networks: that of the weights, or the user's own if there is none."""
    from pose.weights.store import WeightsStore

    return store.folder if store.folder.is_dir() else WeightsStore().folder

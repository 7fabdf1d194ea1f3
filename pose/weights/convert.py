"""Convert state dicts to one naming, and check that they fit the network exactly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS, build_hrnet
from pose.weights.checkpoint import some

WIDTHS: Final = (32, 48)
_COUNTER: Final = "num_batches_tracked"  # of a batch norm; used in training only
_AVERAGED: Final = "n_averaged"  # counter of torch's AveragedModel
_WRAPPERS: Final = ("module", "_orig_mod")  # DataParallel and torch.compile, around any part of a network
_MMPOSE_HEADS: Final = ("head.", "keypoint_head.")  # of mmpose 1.x and 0.x
_MMPOSE: Final = ("backbone.", *_MMPOSE_HEADS)


def hrnet_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return an HRNet's state dict with the authors' names, and the width of the network: 32 or 48.

    Args:
        state: with the authors' names, or with mmpose's (`backbone.…`, `head.final_layer.…`); with the
            prefixes that wrappers add (`module.`, `_orig_mod.`, `model.`, …).

    Raises:
        InvalidWeights: a tensor is missing, unknown, or has another shape. The message has the names in the
            file. Only the counters of batch norms may be missing.
    """
    with torch.device("meta"):
        networks = {width: build_hrnet(VARIANTS[f"w{width}"]) for width in WIDTHS}
    bare, lead = _bare_names(state, {*networks[WIDTHS[0]].state_dict(), *_MMPOSE})
    head = next((name for name in _MMPOSE_HEADS if any(each.startswith(name) for each in bare)), "head.")
    mmpose = "backbone.conv1.weight" in bare
    original = {_authors_name(name, head) if mmpose else name: file_name for name, file_name in bare.items()}
    tensors = {ours: state[name] for ours, name in original.items()}
    last = tensors.get("final_layer.weight")
    if last is None or last.ndim != 4:
        raise InvalidWeights("weights: not an HRNet's for pose: there is no final_layer.weight")
    width = int(last.shape[1])
    if width not in WIDTHS:
        raise InvalidWeights(f"weights: an HRNet of width {width}, expected {' or '.join(map(str, WIDTHS))}")

    def theirs(ours: str) -> str:
        place = (head if ours.startswith("final_layer.") else "backbone.") if mmpose else ""
        return original.get(ours, lead + place + ours)

    return _fitted(networks[width], tensors, theirs), width


def detector_state(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return a detector's state dict with the names of the installed torchvision.

    Files from before torchvision renamed some layers are recognised by their version, or because they have
    none, and are renamed as torchvision does.

    Raises:
        InvalidWeights: a tensor is missing, unknown, or has another shape.
        ValueError: there is no such detector.
    """
    from pose.detectors import build_detector  # it imports torchvision

    with torch.device("meta"):
        network = build_detector(name)
    bare, lead = _bare_names(state, network.state_dict())
    tensors = OrderedDict((ours, state[file_name]) for ours, file_name in bare.items())
    versions = getattr(state, "_metadata", {})  # of each module; without them the names count as old ones
    if versions:
        tensors._metadata = {  # type: ignore[attr-defined]  # as torch's own state dicts
            _without_wrappers(f"{module}.", lead).rstrip("."): value for module, value in versions.items()
        }
    return _fitted(network, tensors, lambda ours: bare.get(ours, lead + ours))


def _fitted(
    network: nn.Module, state: dict[str, Tensor], name_in_file: Callable[[str], str]
) -> dict[str, Tensor]:
    """Return `state` with the names of the network (on the meta device), if it fits exactly."""
    wanted = network.state_dict()
    # Nothing uses the counters, and a loop that makes all tensors half precision makes theirs so too.
    for name in [name for name, tensor in state.items() if name.endswith(_COUNTER)]:
        if state[name].is_floating_point():
            del state[name]
    wrong = [
        f"{name_in_file(name)} is {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    other = [
        f"{name_in_file(name)} holds {str(tensor.dtype).removeprefix('torch.')}"
        for name, tensor in state.items()
        if name in wanted and tensor.is_floating_point() != wanted[name].is_floating_point()
    ]
    if other:
        raise InvalidWeights(f"weights: tensors of another type ({len(other)}): {some(other)}")
    if wrong:
        raise InvalidWeights(f"weights: tensors of another shape ({len(wrong)}): {some(wrong, '; ')}")
    try:
        # Assign the tensors, do not copy them: they keep their bits and precision.
        found = network.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:
        raise InvalidWeights(f"weights: {' '.join(str(error).split())[:500]}") from None
    missing = [name_in_file(name) for name in found.missing_keys if not name.endswith(_COUNTER)]
    extra = [name_in_file(name) for name in found.unexpected_keys if not _is_counter(name, wanted)]
    problems = [f"missing ({len(missing)}): {some(missing)}"] if missing else []
    problems += [f"not of this network ({len(extra)}): {some(extra)}"] if extra else []
    if problems:
        raise InvalidWeights(f"weights: tensors {'; tensors '.join(problems)}")
    fitted = {}
    for name, tensor in network.state_dict().items():
        if tensor.is_meta:
            tensor = torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidWeights(f"weights: {name_in_file(name)} holds numbers that are not finite")
        # Copy: in a file, several tensors may share one storage.
        fitted[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return fitted


def _bare_names(state: Collection[str], own: Collection[str]) -> tuple[dict[str, str], str]:
    """Return the names in the file by the names without a wrapper's prefixes, and the prefix of all names.

    Args:
        own: names of the network; their first parts are no wrapper's.

    Raises:
        InvalidWeights: two names are the same without prefixes.
    """
    names = [name for name in state if name != _AVERAGED]
    firsts = {name.partition(".")[0] for name in own}
    lead = ""
    while len(first := {name[len(lead) :].partition(".")[0] for name in names}) == 1 and not first & firsts:
        (part,) = first
        if any(len(name) <= len(lead) + len(part) for name in names):  # nothing would be left
            break
        lead += f"{part}."
    bare: dict[str, str] = {}
    for name in names:
        ours = _without_wrappers(name, lead)
        if ours in bare:
            raise InvalidWeights(f"weights: two tensors for one place: {some([bare[ours], name])}")
        bare[ours] = name
    return bare, lead


def _without_wrappers(name: str, lead: str) -> str:
    return ".".join(part for part in name.removeprefix(lead).split(".") if part not in _WRAPPERS)


def _authors_name(name: str, head: str) -> str:
    """Return the authors' name of one of mmpose's."""
    for prefix, rest in (("backbone.", ""), (f"{head}final_layer.", "final_layer.")):
        if name.startswith(prefix):
            return rest + name.removeprefix(prefix)
    return f"?{name}"  # not of the network: reported as unknown


def _is_counter(name: str, wanted: Collection[str]) -> bool:
    # Frozen batch norms have no counter; torchvision drops it too.
    return name.endswith(f".{_COUNTER}") and name.removesuffix(_COUNTER) + "running_mean" in wanted

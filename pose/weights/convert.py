"""State dicts brought to one naming, and refused unless they are exactly those of the network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import torch
from torch import Tensor, nn

from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS, build_hrnet
from pose.weights.checkpoint import some

WIDTHS: Final = (32, 48)
_COUNTER: Final = "num_batches_tracked"  # of a batch norm in training; nothing reads it afterwards


def hrnet_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """An HRNet's state dict with the authors' names, and the network's width: 32 or 48.

    Args:
        state: with the authors' names, or with mmpose's (`backbone.…`, `head.final_layer.…`); either may have
            the `module.` of a network that was trained on several GPUs in front.

    Raises:
        InvalidWeights: a tensor is missing, is one too many, or has another shape. The names are those of
            the file. Only the counters of batch norms may be missing.
    """
    original = {_authors_name(name, _prefixes(state)): name for name in state}
    tensors = {ours: state[name] for ours, name in original.items()}
    last = tensors.get("final_layer.weight")
    if last is None or last.ndim != 4:
        raise InvalidWeights("weights: not an HRNet's for pose: there is no final_layer.weight")
    width = int(last.shape[1])
    if width not in WIDTHS:
        raise InvalidWeights(f"weights: an HRNet of width {width}, expected {' or '.join(map(str, WIDTHS))}")
    module, scheme = _prefixes(state)

    def theirs(ours: str) -> str:
        place = ("head." if ours.startswith("final_layer.") else "backbone.") if scheme else ""
        return original.get(ours, module + place + ours)

    with torch.device("meta"):
        network = build_hrnet(VARIANTS[f"w{width}"])
    return _fitted(network, tensors, theirs), width


def detector_state(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """A detector's state dict with the names that the installed torchvision gives it.

    Files that were published before torchvision renamed some of its layers say so by their version, or by
    its absence, and are renamed as torchvision does.

    Raises:
        InvalidWeights: a tensor is missing, is one too many, or has another shape.
        ValueError: there is no such detector.
    """
    from pose.detectors import build_detector  # it loads torchvision

    with torch.device("meta"):
        network = build_detector(name)
    return _fitted(network, state, str)


def _fitted(
    network: nn.Module, state: Mapping[str, Tensor], name_in_file: Callable[[str], str]
) -> dict[str, Tensor]:
    """`state` as the network, on the meta device, has it; refused unless it fits exactly."""
    wanted = network.state_dict()
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
        # Assigned, not copied: the tensors keep their bits and their precision.
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
        # A copy of its own: in a file several may lie in one storage.
        fitted[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return fitted


def _prefixes(state: Collection[str]) -> tuple[str, bool]:
    """What all names have in front of them, and whether they are mmpose's after that."""
    module = "module." if state and all(name.startswith("module.") for name in state) else ""
    return module, f"{module}backbone.conv1.weight" in state


def _authors_name(name: str, prefixes: tuple[str, bool]) -> str:
    module, mmpose = prefixes
    bare = name.removeprefix(module)
    if not mmpose:
        return bare
    for prefix, rest in (("backbone.", ""), ("head.final_layer.", "final_layer.")):
        if bare.startswith(prefix):
            return rest + bare.removeprefix(prefix)
    return f"?{bare}"  # none of the network's, and so one too many


def _is_counter(name: str, wanted: Collection[str]) -> bool:
    # Frozen batch norms have none; torchvision drops it too.
    return name.endswith(f".{_COUNTER}") and name.removesuffix(_COUNTER) + "running_mean" in wanted

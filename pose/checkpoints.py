"""Weights as files: safetensors, and the `.pth` files that others publish, read without running anything.

`read_pth` reads both formats of torch.save (ZIP, and the one before torch 1.6) with `weights_only=True`.
`hrnet_state` and `detector_state` bring a state dict to one naming, and refuse any that is not exactly that
of the network.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS, build_hrnet

EMBEDDED: Final = "depth-hrnet.safetensors"
MIB: Final = 1024 * 1024
MAX_BYTES: Final = 64 * MIB  # of the depth network's
MAX_PUBLISHED_BYTES: Final = 512 * MIB  # of the others': the largest, HRNet w48, has 255 MB

WIDTHS: Final = (32, 48)
_COUNTER: Final = "num_batches_tracked"  # of a batch norm in training; nothing reads it afterwards
_SHOWN: Final = 5  # names in an error
_SHOWN_LENGTH: Final = 200  # characters of what a file says


@dataclass(frozen=True)
class Checkpoint:
    """Weights as read.

    Attributes:
        tensors: the state dict, on the CPU.
        facts: what the file's header says of them: name, version, variant; `pose.store` lists more.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, str]


def embedded_path() -> Path:
    """The depth network's weights, which ship in the package."""
    return Path(str(resources.files("pose") / "data" / EMBEDDED))


def read_checkpoint(path: Path | str, max_bytes: int | None = None) -> Checkpoint:
    """Reads a safetensors file of ours.

    Raises:
        InvalidWeights: there is no such file, it is damaged or larger than `max_bytes` (None: `MAX_BYTES`),
            or its header does not tell name, version and variant.
    """
    path = Path(path)
    if path == embedded_path() and not path.is_file():
        raise InvalidWeights(f"weights {path.name}: there is no such file; is the package installed whole?")
    checkpoint = read_safetensors(path, MAX_BYTES if max_bytes is None else max_bytes)
    missing = [name for name in ("name", "version", "variant") if name not in checkpoint.facts]
    if missing:
        raise InvalidWeights(f"weights {path.name}: header without {', '.join(missing)}")
    return checkpoint


def read_safetensors(path: Path, max_bytes: int = MAX_PUBLISHED_BYTES) -> Checkpoint:
    """Reads any safetensors file; its facts are whatever its header says.

    Raises:
        InvalidWeights: there is no such file, or it is damaged or too large.
    """
    check_file(path, max_bytes)
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
        return Checkpoint(tensors, dict(file.metadata() or {}))


def read_facts(path: Path) -> dict[str, str]:
    """What a safetensors file's header says beside its tensors, which are not read.

    Raises:
        InvalidWeights: it is not there or damaged.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        problem = _printable(str(error))
        raise InvalidWeights(f"weights {path.name}: not a safetensors file ({problem})") from error
    except OSError as error:  # its own text holds the whole path
        raise InvalidWeights(f"weights {path.name}: cannot be read ({type(error).__name__})") from error


class _Ignored:
    """Stands in for what a checkpoint's `meta` may hold besides text: made, filled, and never looked at."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


# mmpose's `meta` holds NumPy arrays (the data set's sigmas), and mmengine's log holds buffers of them. None
# of it is needed, so none of it is made: for each of these names the reader takes a thing that does nothing.
_IGNORED: Final = (
    *(f"numpy.{core}.multiarray.{what}" for core in ("core", "_core") for what in ("_reconstruct", "scalar")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
    "numpy.ndarray",
    "numpy.dtype",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # how that buffer's methods are written
)
_one_reader = threading.Lock()  # torch's list of allowed names is the whole process's


def read_pth(
    path: Path | str, max_bytes: int = MAX_PUBLISHED_BYTES
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what torch.save wrote: a state dict, or a dict that has one as its "state_dict".

    Returns:
        The state dict, with the names and versions (`_metadata`) as in the file, and "meta" ({} if none).

    Raises:
        InvalidWeights: there is no such file, it is damaged or too large, holds something else, or refers to
            a class or function that has no place in weights. Nothing in it is run.
    """
    path = Path(path)
    check_file(path, max_bytes)
    try:
        with _one_reader, torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise anything
        raise InvalidWeights(f"weights {path.name}: {_reason(error)}") from None
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, dict) or not state:
        raise InvalidWeights(f"weights {path.name}: holds no state dict")
    others = [str(name) for name, value in state.items() if not _is_weight(name, value)]
    if others:
        raise InvalidWeights(f"weights {path.name}: not tensors: {_some(others)}")
    return state, meta if isinstance(meta, dict) else {}


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
    from pose.detection import build_detector  # it loads torchvision

    with torch.device("meta"):
        network = build_detector(name)
    return _fitted(network, state, str)


def stated_input_size(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the network's input as mmpose's `meta` tells it; None if it does not."""
    config = meta.get("cfg", meta.get("config"))
    text = config if isinstance(config, str) else repr(config)
    found = re.findall(r"\binput_size['\"]?\s*[=:]\s*[(\[]\s*(\d{1,5})\s*,\s*(\d{1,5})\s*[)\]]", text)
    sizes = {(int(width), int(height)) for width, height in found}
    return sizes.pop() if len(sizes) == 1 else None


def _fitted(network: nn.Module, state: Mapping[str, Tensor], name_in_file: Any) -> dict[str, Tensor]:
    """`state` as the network, on the meta device, has it; refused unless it fits exactly."""
    wanted = network.state_dict()
    wrong = [
        f"{name_in_file(name)} is {tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
        for name, tensor in state.items()
        if name in wanted and tensor.shape != wanted[name].shape
    ]
    if wrong:
        raise InvalidWeights(f"weights: tensors of another shape ({len(wrong)}): {_some(wrong, '; ')}")
    try:
        # Assigned, not copied: the tensors keep their bits and their precision.
        found = network.load_state_dict(state, strict=False, assign=True)
    except RuntimeError as error:
        raise InvalidWeights(f"weights: {' '.join(str(error).split())[:500]}") from None
    missing = [name_in_file(name) for name in found.missing_keys if not name.endswith(_COUNTER)]
    extra = [name_in_file(name) for name in found.unexpected_keys if not _is_counter(name, wanted)]
    problems = [f"missing ({len(missing)}): {_some(missing)}"] if missing else []
    problems += [f"not of this network ({len(extra)}): {_some(extra)}"] if extra else []
    if problems:
        raise InvalidWeights(f"weights: tensors {'; tensors '.join(problems)}")
    fitted = {}
    for name, tensor in network.state_dict().items():
        if tensor.is_meta:
            tensor = torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            raise InvalidWeights(f"weights: {name_in_file(name)} holds {tensor.dtype}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InvalidWeights(f"weights: {name_in_file(name)} holds numbers that are not finite")
        # A copy of its own: in a file several may lie in one storage.
        fitted[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return fitted


def _prefixes(state: Collection[str]) -> tuple[str, bool]:
    """What all names have in front of them, and whether they are mmpose's after that."""
    module = "module." if state and all(name.startswith("module.") for name in state) else ""
    return module, any(name.startswith(f"{module}backbone.") for name in state)


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


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided


def check_file(path: Path, max_bytes: int) -> None:
    """Refuses, as InvalidWeights, what is no file or is too large."""
    if not path.is_file():
        raise InvalidWeights(f"weights {path.name}: there is no such file")
    size = path.stat().st_size
    if size > max_bytes:
        raise InvalidWeights(f"weights {path.name}: {size} bytes, expected at most {max_bytes}")


def _reason(error: Exception) -> str:
    """Why torch.load refused, without its advice to trust the file."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        return f"refers to {refused[1]}, which has no place in weights; nothing of it was run"
    return f"not a file of torch.save, or a damaged one ({type(error).__name__})"


def _some(names: Collection[str], separator: str = ", ") -> str:
    shown = separator.join(_printable(name) for name in list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _printable(text: str) -> str:
    """A text that holds parts of a file, as one line of a length that a person reads."""
    return "".join(each if each.isprintable() else "?" for each in text[:_SHOWN_LENGTH])

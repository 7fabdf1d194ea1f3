"""Weights as files: safetensors, and the `.pth` files that others publish, read without running anything.

`read_pth` reads both formats of torch.save (ZIP, and the one before torch 1.6) with `weights_only=True`.
What is read is not looked at any further: `pose.weights.convert` does that.
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
from torch import Tensor

from pose.errors import InvalidWeights

EMBEDDED: Final = "depth-hrnet.safetensors"
MIB: Final = 1024 * 1024
MAX_BYTES: Final = 64 * MIB  # of the depth network's
MAX_PUBLISHED_BYTES: Final = 512 * MIB  # of the others': the largest, HRNet w48, has 255 MB


@dataclass(frozen=True)
class Checkpoint:
    """Weights as read.

    Attributes:
        tensors: the state dict, on the CPU.
        facts: what the file's header says of them: name, version, variant; `pose.weights.store` lists more.
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
        problem = printable(str(error))
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
        raise InvalidWeights(f"weights {path.name}: not tensors: {some(others)}")
    return state, meta if isinstance(meta, dict) else {}


def stated_input_size(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height of the network's input as mmpose's `meta` tells it; None if it does not."""
    config = meta.get("cfg", meta.get("config"))
    text = config if isinstance(config, str) else repr(config)
    found = re.findall(r"\binput_size['\"]?\s*[=:]\s*[(\[]\s*(\d{1,5})\s*,\s*(\d{1,5})\s*[)\]]", text)
    sizes = {(int(width), int(height)) for width, height in found}
    return sizes.pop() if len(sizes) == 1 else None


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
        return f"refers to {printable(refused[1])}, which has no place in weights; nothing of it was run"
    return f"not a file of torch.save, or a damaged one ({type(error).__name__})"


_SHOWN: Final = 5  # names in an error
_SHOWN_LENGTH: Final = 200  # characters of what a file says


def some(names: Collection[str], separator: str = ", ") -> str:
    """The first of the names that a file gives, and how many more there are."""
    shown = separator.join(printable(name) for name in list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def printable(text: str) -> str:
    """A text that holds parts of a file, as one line of a length that a person reads."""
    return "".join(each if each.isprintable() else "?" for each in text[:_SHOWN_LENGTH])

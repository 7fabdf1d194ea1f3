"""Read files of weights: safetensors, and published `.pth` files without running any code in them.

`read_pth` reads both formats of torch.save (ZIP, and the one before torch 1.6) with `weights_only=True`.
Names and shapes are not checked here but in `pose.weights.convert`.
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
MAX_BYTES: Final = 64 * MIB  # of the depth network's file
MAX_PUBLISHED_BYTES: Final = 512 * MIB  # of other files: the largest, HRNet w48, has 255 MB


_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"  # the first bytes of a pointer file
LFS_PROBLEM: Final = (
    "a Git LFS pointer, a text of some 130 bytes in place of the file; run `git lfs pull` where it is from, "
    "or download the file itself"
)


@dataclass(frozen=True)
class Checkpoint:
    """Weights from a file.

    Attributes:
        tensors: the state dict, on the CPU.
        facts: from the file's header: name, version, variant; `pose.weights.ingest` lists more.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, str]


def embedded_path() -> Path:
    """Return the path of the depth network's weights, which are part of the package."""
    return Path(str(resources.files("pose") / "data" / EMBEDDED))


def read_checkpoint(path: Path | str, max_bytes: int = MAX_BYTES) -> Checkpoint:
    """Read a safetensors file that this package has written.

    Raises:
        InvalidWeights: the file is missing, damaged, or larger than `max_bytes`, or its header does not tell
            name, version and variant.
    """
    path = Path(path)
    if path == embedded_path() and not path.is_file():
        raise InvalidWeights(f"weights {path.name}: there is no such file; is the package installed whole?")
    checkpoint = read_safetensors(path, max_bytes)
    missing = [name for name in ("name", "version", "variant") if name not in checkpoint.facts]
    if missing:
        raise InvalidWeights(f"weights {path.name}: header without {', '.join(missing)}")
    return checkpoint


def read_safetensors(path: Path, max_bytes: int = MAX_PUBLISHED_BYTES) -> Checkpoint:
    """Read any safetensors file; `facts` are those of its header.

    Raises:
        InvalidWeights: the file is missing, damaged or too large.
    """
    check_file(path, max_bytes)
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
        return Checkpoint(tensors, dict(file.metadata() or {}))


def read_facts(path: Path) -> dict[str, str]:
    """Return the facts in the header of a safetensors file, without reading its tensors.

    Raises:
        InvalidWeights: the file is missing or damaged.
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
    except OSError as error:  # its own text contains the whole path
        raise InvalidWeights(f"weights {path.name}: cannot be read ({type(error).__name__})") from error


class _Ignored:
    """Replaces objects in a checkpoint's `meta` that are not needed. Does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


# mmpose's `meta` contains NumPy arrays (the sigmas of the data set), and mmengine's log buffers of them.
# Training programs, such as torchvision's references, store their command line. None of it is needed, so the
# reader makes an `_Ignored` in place of each of these.
_IGNORED: Final = (
    "argparse.Namespace",
    *(f"{module}.{kind}Path" for module in ("pathlib", "pathlib._local") for kind in ("Posix", "Windows")),
    *(f"numpy.{core}.multiarray.{what}" for core in ("core", "_core") for what in ("_reconstruct", "scalar")),
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "Bool")),
    "numpy.ndarray",
    "numpy.dtype",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # pickled methods of that buffer
)
# Where training programs put the state dict in a checkpoint, the one to use first.
_STATE_DICTS: Final = ("state_dict", "model_state_dict", "model")
_MAX_DEPTH: Final = 4  # of dicts in dicts; a file can contain a dict that contains itself
_STRIP: Final = (
    'to keep only the weights, on a computer where you trust the file: python -c "import torch; '
    "file = torch.load('FILE', map_location='cpu', weights_only=False); "
    "torch.save(file['model'], 'weights.pth')\", with the file's own key in place of 'model', "
    "or file.state_dict() if it holds a whole network"
)
_one_reader = threading.Lock()  # torch has one list of allowed names in each process


def read_pth(
    path: Path | str, max_bytes: int = MAX_PUBLISHED_BYTES
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of torch.save: a state dict, or a checkpoint of a training program that contains one.

    A checkpoint has it as "state_dict", "model_state_dict" or "model", or under another key as its only one.

    Returns:
        The state dict, with names and versions (`_metadata`) as in the file; and its "meta", {} if none.

    Raises:
        InvalidWeights: the file is missing, damaged or too large, contains something else, or refers to a
            class or function that does not belong in weights. No code in it is run.
    """
    path = Path(path)
    check_file(path, max_bytes)
    try:
        with _one_reader, torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader can raise anything for a damaged file
        raise InvalidWeights(f"weights {path.name}: {_reason(error)}") from None
    meta = loaded.get("meta") if isinstance(loaded, Mapping) else None
    state = _find_state_dict(loaded)
    if not isinstance(state, dict) or not state:
        raise InvalidWeights(f"weights {path.name}: contains no state dict")
    others = [str(name) for name, value in state.items() if not _is_weight(name, value)]
    if others:
        raise InvalidWeights(f"weights {path.name}: not tensors: {some(others)}")
    return state, meta if isinstance(meta, dict) else {}


def _find_state_dict(loaded: Any) -> Any:
    """Return the state dict in what a file contains, or what is in its place."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(loaded, dict):
            break
        inner = {name: value for name, value in loaded.items() if isinstance(value, dict) and value}
        found = [inner[name] for name in _STATE_DICTS if name in inner][:1] or [
            value for value in inner.values() if all(_is_weight(*each) for each in value.items())
        ]
        if len(found) != 1:
            break
        loaded = found[0]
    return loaded


def stated_input_size(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height of the network input from mmpose's `meta`; None if it does not tell them."""
    config = meta.get("cfg", meta.get("config"))
    text = config if isinstance(config, str) else repr(config)
    found = re.findall(r"\binput_size['\"]?\s*[=:]\s*[(\[]\s*(\d{1,5})\s*,\s*(\d{1,5})\s*[)\]]", text)
    sizes = {(int(width), int(height)) for width, height in found}
    return sizes.pop() if len(sizes) == 1 else None


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided


def check_file(path: Path, max_bytes: int) -> None:
    """Raise InvalidWeights if the file is missing or too large."""
    if not path.is_file():
        raise InvalidWeights(f"weights {path.name}: there is no such file")
    size = path.stat().st_size
    if size > max_bytes:
        raise InvalidWeights(
            f"weights {path.name}: {size} bytes, expected at most {max_bytes}; a training program's "
            "checkpoint is larger than its weights alone: store the state dict without the optimizer's"
        )


def is_lfs_pointer(path: Path) -> bool:
    """Return whether a file is the pointer that Git LFS keeps in a repository in place of a large file."""
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER


def _reason(error: Exception) -> str:
    """Return why torch.load refused the file, without its advice to trust the file."""
    refused = re.search(r"GLOBAL ([\w.]+)", str(error))
    if refused:
        what = printable(refused[1])
        return f"refers to {what}, which does not belong in weights; no code was run; {_STRIP}"
    return f"not a file of torch.save, or damaged ({type(error).__name__})"


_SHOWN: Final = 5  # names in an error message
_SHOWN_LENGTH: Final = 200  # characters of a text from a file


def some(names: Collection[str], separator: str = ", ") -> str:
    """Return the first of these names, and how many more there are.

    >>> some(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d, e and 1 more'
    """
    shown = separator.join(printable(name) for name in list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def printable(text: str) -> str:
    """Return a text from a file as one short line without control characters."""
    return "".join(each if each.isprintable() else "?" for each in text[:_SHOWN_LENGTH])

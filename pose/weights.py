"""Where an estimator's weights are, and how they are read: safetensors only, checked before use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from torch import Tensor

from pose.errors import InvalidWeights

EMBEDDED: Final = "depth-hrnet.safetensors"
MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Checkpoint:
    """Weights as read.

    Attributes:
        tensors: the state dict.
        facts: what the file's header says of them: name, version, variant.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, str]


def embedded_path() -> Path:
    """The depth network's weights, which ship in the package."""
    return Path(str(resources.files("pose") / "data" / EMBEDDED))


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Reads a safetensors file.

    Raises:
        InvalidWeights: there is no such file, it is damaged or larger than `MAX_BYTES`, or its header does
            not tell name, version and variant.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidWeights(f"weights {path.name}: there is no such file; is the package installed whole?")
    if path.stat().st_size > MAX_BYTES:
        size = path.stat().st_size
        raise InvalidWeights(f"weights {path.name}: {size} bytes, expected at most {MAX_BYTES}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no iterator
    except SafetensorError as error:
        raise InvalidWeights(f"weights {path.name}: not a safetensors file ({error})") from error
    except OSError as error:  # its own text holds the whole path
        raise InvalidWeights(f"weights {path.name}: cannot be read ({type(error).__name__})") from error
    missing = [name for name in ("name", "version", "variant") if name not in facts]
    if missing:
        raise InvalidWeights(f"weights {path.name}: header without {', '.join(missing)}")
    return Checkpoint(tensors, facts)

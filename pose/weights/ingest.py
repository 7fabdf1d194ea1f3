"""Read a file of weights from any source, identify it by its hash, and convert it for `pose.weights.store`.

Its facts, besides name, version and variant:

- `kind`: hrnet, detector or face;
- `input_size`: of an HRNet, width x height in pixels ("288x384"); missing if neither the file nor its name
  tells it;
- `naming`: of the converted tensors, `authors` (of HRNet) or `torchvision`; `onnx`: the only tensor, of
  this name, holds the bytes of an ONNX file;
- `source_file`, `source_sha256`, `source_size`: of the file.

`version` is the first eight digits of `source_sha256`, after `own-` if the file is not a published one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from pose.errors import InvalidWeights
from pose.weights.checkpoint import (
    LFS_PROBLEM,
    MAX_PUBLISHED_BYTES,
    Checkpoint,
    check_file,
    is_lfs_pointer,
    read_pth,
    read_safetensors,
    stated_input_size,
)
from pose.weights.convert import detector_state, hrnet_state
from pose.weights.registry import REGISTRY, Published, find_published, first_published

ONNX: Final = "onnx"
DIGEST: Final = "digest"  # SHA-256 over all tensors and all other facts; only in files of a store
_FACTS: Final = ("version", "variant", "kind", "naming", "source_file", "source_sha256", "source_size")


def read_weights_file(path: Path | str, name: str | None = None, *, own: bool = True) -> Checkpoint:
    """Read weights from a `.pth` file, a published `.onnx` file, or a safetensors file, also one of a store.

    Args:
        name: the model that the weights must be of; None: any HRNet of a known width.
        own: accept a file that is not a published one. The hash is checked first.

    Returns:
        The tensors of an HRNet with the authors' names, those of a detector with torchvision's; of an ONNX
        file its bytes, as the tensor "onnx". The model's name is `name`, or else that in the registry for its
        width and input size, or else "hrnet-w48".

    Raises:
        InvalidWeights: the file is damaged or of another model, or it is not a published one and `own` is
            false; an ONNX file must always be a published one.
        ValueError: there is no such name.
    """
    path = Path(path)
    expected = None if name is None else first_published(name)
    check_file(path, MAX_PUBLISHED_BYTES)
    try:
        if is_lfs_pointer(path):
            raise InvalidWeights(f"weights {path.name}: {LFS_PROBLEM}")
        is_safetensors = _is_safetensors(path)
        sha256 = _sha256(path)
    except OSError as error:  # its own text contains the whole path
        raise InvalidWeights(f"weights {path.name}: cannot be read ({type(error).__name__})") from None
    if is_safetensors:
        read = read_safetensors(path)
        if DIGEST in read.facts:
            return _from_store(read, path.name, name, own)
    published = _check_published(path.name, sha256, name, own)
    facts = {
        "version": sha256[:8] if published else f"own-{sha256[:8]}",
        "source_file": path.name,
        "source_sha256": sha256,
        "source_size": str(path.stat().st_size),
    }
    if published is not None and published.kind == "face":
        return Checkpoint(_bytes_as_tensor(path), facts | {"name": published.name, **_facts_of(published)})
    if expected is not None and expected.kind == "face":
        raise InvalidWeights(f"weights {path.name}: expected the published file of {expected.name}")
    tensors, meta = (read.tensors, {}) if is_safetensors else read_pth(path)
    try:
        if expected is not None and expected.kind == "detector":
            tensors = detector_state(tensors, expected.name)
            facts |= {"name": expected.name, **_facts_of(expected)}
        else:
            tensors, width = hrnet_state(tensors)
            size = _input_size(meta, published, path.name)
            facts |= _hrnet_facts(width, size, expected)
    except InvalidWeights as error:
        raise InvalidWeights(f"weights {path.name}: {str(error).removeprefix('weights: ')}") from None
    return Checkpoint(tensors, facts)


def digest(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> str:
    """Return the SHA-256, in hex, of all tensors (name, type, shape, bytes) and all facts but `digest`."""
    total = hashlib.sha256()
    for key in sorted(set(facts) - {DIGEST}):
        total.update(f"{key}={facts[key]}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def check_stored(checkpoint: Checkpoint, name: str) -> None:
    """Check that the content of a store's file is complete and of this model.

    Raises:
        InvalidWeights: it is not.
    """
    facts = checkpoint.facts
    missing = [fact for fact in (*_FACTS, DIGEST) if fact not in facts]
    if missing:
        raise InvalidWeights(f"header without {', '.join(missing)}")
    for fact, value in {"name": name, **_facts_of(first_published(name))}.items():
        if facts.get(fact) != value:
            raise InvalidWeights(f"of another model: its {fact} is {facts.get(fact)!r}, expected {value!r}")
    if digest(checkpoint.tensors, facts) != facts[DIGEST]:
        raise InvalidWeights("damaged: its tensors or its header have changed since they were written")
    if facts["kind"] == "face":
        onnx_bytes(checkpoint)


def onnx_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of the ONNX file in a checkpoint.

    Raises:
        InvalidWeights: they are not there, or not those of the published file.
    """
    tensor = checkpoint.tensors.get(ONNX)
    data = b"" if tensor is None or tensor.dtype != torch.uint8 else tensor.numpy().tobytes()
    published = find_published(hashlib.sha256(data).hexdigest())
    if published is None or published.kind != "face":
        raise InvalidWeights("does not hold the published ONNX file")
    return data


def _from_store(checkpoint: Checkpoint, file: str, name: str | None, own: bool) -> Checkpoint:
    facts = checkpoint.facts
    name = facts.get("name", "") if name is None else name
    if name not in REGISTRY:
        raise InvalidWeights(f"weights {file}: of an unknown model")
    try:
        check_stored(checkpoint, name)
    except InvalidWeights as error:
        raise InvalidWeights(f"weights {file}: {error}") from None
    # Trust the header: whether the tensors are from the file that it names cannot be checked any more.
    _check_published(file, facts["source_sha256"], name, own)
    return Checkpoint(checkpoint.tensors, {key: value for key, value in facts.items() if key != DIGEST})


def _check_published(file: str, sha256: str, name: str | None, own: bool) -> Published | None:
    published = find_published(sha256)
    if published is None and not own:
        raise InvalidWeights(
            f"weights {file}: no published file has the SHA-256 {sha256}; if the file is your "
            "own, or you trust its author, add it with --own"
        )
    if published is not None and name is not None and published.name != name:
        raise InvalidWeights(f"weights {file}: this file is {published.name}, expected {name}")
    return published


def _facts_of(published: Published) -> dict[str, str]:
    """Return the facts that all weights of a name have in common."""
    if published.kind == "face":
        return {"variant": published.name, "kind": published.kind, "naming": ONNX}
    if published.input_size is None:
        return {"variant": published.name, "kind": published.kind, "naming": "torchvision"}
    width, height = published.input_size
    return {
        "variant": f"w{published.width}",
        "kind": published.kind,
        "naming": "authors",
        "input_size": f"{width}x{height}",
    }


def _hrnet_facts(width: int, size: tuple[int, int] | None, expected: Published | None) -> dict[str, str]:
    if expected is not None:
        if width != expected.width:
            raise InvalidWeights(f"an HRNet of width {width}, expected {expected.width} for {expected.name}")
        if size is not None and size != expected.input_size:
            raise InvalidWeights(
                f"for an input of {size[0]}x{size[1]} (width x height), expected {{}}x{{}} for {{}}".format(
                    *(expected.input_size or ()), expected.name
                )
            )
        return {"name": expected.name, **_facts_of(expected)}
    found = [
        files[0] for files in REGISTRY.values() if (files[0].width, files[0].input_size) == (width, size)
    ]
    if found:
        return {"name": found[0].name, **_facts_of(found[0])}
    facts = {"name": f"hrnet-w{width}", "variant": f"w{width}", "kind": "hrnet", "naming": "authors"}
    return facts if size is None else {**facts, "input_size": f"{size[0]}x{size[1]}"}


def _input_size(meta: Mapping[str, Any], published: Published | None, file: str) -> tuple[int, int] | None:
    """Return width and height from the file, or else from the registry, or else from the file's name."""
    stated = stated_input_size(meta)
    if stated is not None:
        return stated
    if published is not None:
        return published.input_size
    named = re.search(
        r"(?<!\d)(\d{2,4})x(\d{2,4})(?!\d)", file
    )  # height first, as in the authors' file names
    return (int(named[2]), int(named[1])) if named else None


def _is_safetensors(path: Path) -> bool:
    """Check the start of the file: eight bytes with the length of the header, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _bytes_as_tensor(path: Path) -> dict[str, Tensor]:
    return {ONNX: torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Stored weights: a folder of safetensors files, one for each model, checked when written and when read.

`pose.weights.ingest` describes the facts in the header; `digest` is the SHA-256 of everything else.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import platformdirs
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from pose.errors import InvalidWeights
from pose.weights.checkpoint import MAX_PUBLISHED_BYTES, Checkpoint, read_checkpoint, read_facts
from pose.weights.convert import detector_state, hrnet_state
from pose.weights.download import Progress
from pose.weights.ingest import DIGEST, check_stored, digest, read_weights_file
from pose.weights.registry import REGISTRY, first_published


class WeightsSource(Protocol):
    """Your own place for weights: a bucket or a mirror. Opened by its URL, see `pose.weights.sources`."""

    converted_first: bool
    """Ask for `<name>.safetensors`, as a store writes it, before the published files."""

    def fetch(self, file_name: str, to: Path, *, max_bytes: int, sha256: str, progress: Progress) -> None:
        """Write the complete file to `to`.

        Raises:
            WeightsNotFound: the source has no such file.
            DownloadError: the source cannot be reached, refuses, or sends more than `max_bytes`.
        """
        ...


class WeightsStore:
    """Weights in a folder, which is made when the first weights are added.

    Several processes may use one folder: a file gets its name only when it is complete.

    Args:
        folder: None takes the user's cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = platformdirs.user_cache_path("pose-worker") / "weights" if folder is None else folder

    def path(self, name: str) -> Path:
        """Return the path of the weights of a name, whether or not they are stored.

        Raises:
            ValueError: there is no such name.
        """
        first_published(name)
        return self.folder / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        """Return whether weights of a name are stored. They are checked when they are loaded.

        Raises:
            ValueError: there is no such name.
        """
        return self.path(name).is_file()

    def load(self, name: str) -> Checkpoint:
        """Load weights: those of an HRNet with the authors' names, those of a detector with torchvision's.

        Those of a face detector are the bytes of its ONNX file, see `onnx_bytes`.

        Raises:
            InvalidWeights: they are not stored, damaged, or of another model.
            ValueError: there is no such name.
        """
        if not self.has(name):
            raise InvalidWeights(
                f"the weights of {name} are not there: run `pose weights pull {name}` where there is a "
                f"network, or `pose weights add {name} FILE`"
            )
        try:
            checkpoint = read_checkpoint(self.path(name), MAX_PUBLISHED_BYTES)
            check_stored(checkpoint, name)
        except InvalidWeights as error:
            raise InvalidWeights(
                f"the weights of {name} in the store: {error}; `pose weights pull {name}` or `pose weights "
                f"add {name} FILE` replaces them"
            ) from None
        return checkpoint

    def verify(self, name: str) -> dict[str, str]:
        """Check the digest, and the names and shapes of all tensors. Return the facts in the header.

        Raises:
            InvalidWeights, ValueError: as `load`.
        """
        checkpoint = self.load(name)
        kind = first_published(name).kind
        if kind == "detector":
            detector_state(checkpoint.tensors, name)
        elif kind == "hrnet":
            hrnet_state(checkpoint.tensors)
        return checkpoint.facts

    def add(self, name: str, file: Path, *, own: bool = False) -> dict[str, str]:
        """Store the weights of a file, in place of those that are stored.

        Args:
            file: a published `.pth` or `.onnx`, or a safetensors file, also one of another store.
            own: accept a file that is not a published one.

        Returns:
            The facts in the header of the new file.

        Raises:
            InvalidWeights: the file is a published one of another name, or not a published one while `own` is
                false, or its content does not fit the name.
            ValueError: there is no such name.
            OSError: the folder cannot be written.
        """
        checkpoint = read_weights_file(file, name, own=own)
        facts = {**checkpoint.facts, DIGEST: digest(checkpoint.tensors, checkpoint.facts)}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_tensors(self.path(name), checkpoint.tensors, facts)
        return facts

    def entries(self) -> dict[str, dict[str, str] | None]:
        """Return each name of the registry with the facts of its file; None: not stored; {}: damaged."""
        found: dict[str, dict[str, str] | None] = {}
        for name in REGISTRY:
            try:
                found[name] = read_facts(self.path(name)) if self.has(name) else None
            except InvalidWeights:
                found[name] = {}
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Wait until no other process pulls the same weights, and keep others from it."""
        first_published(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{name}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, or the process ends
            yield


def write_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write a safetensors file. It gets its name only when it is complete. Its folder must exist.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    try:
        save_file(tensors, temporary, facts)
        _to_disk(temporary)
        os.chmod(temporary, 0o644)  # readable for workers of other users; mkstemp allows only this user
        os.replace(temporary, path)
    except SafetensorError as error:  # raised if the disk is full
        raise OSError(f"the weights of {path.stem} cannot be written: {error}") from None
    finally:
        Path(temporary).unlink(missing_ok=True)
    _to_disk(path.parent)


def _to_disk(path: Path | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

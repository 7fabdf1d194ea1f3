"""The weights of this machine: a folder of safetensors files, one a model, checked on their way in and out.

What a file's header tells is described in `pose.weights.ingest`; `digest` is SHA-256 over all the rest.
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
from pose.weights.registry import REGISTRY, slot


class WeightsSource(Protocol):
    """Where a fleet keeps weights: a bucket, a mirror. Found by its URL, see `pose.weights.sources`."""

    converted_first: bool
    """Whether `<name>.safetensors`, as a store writes it, is asked for before the published files."""

    def fetch(self, file_name: str, to: Path, *, max_bytes: int, sha256: str, progress: Progress) -> None:
        """Writes the file to `to`, whole, or raises.

        Raises:
            WeightsNotFound: it holds no such file.
            DownloadError: it is away, refuses, or sends more than `max_bytes`.
        """
        ...


class WeightsStore:
    """Weights in a folder, which is made when the first are added.

    Several processes may use one folder at once: files come to their names whole, or not at all.

    Args:
        folder: None takes the platform's cache folder for this program.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = platformdirs.user_cache_path("pose-worker") / "weights" if folder is None else folder

    def path(self, name: str) -> Path:
        """Where the weights of a name are, or would be.

        Raises:
            ValueError: there is no such name.
        """
        slot(name)
        return self.folder / f"{name}.safetensors"

    def has(self, name: str) -> bool:
        """Whether they are there. They are checked when they are loaded.

        Raises:
            ValueError: there is no such name.
        """
        return self.path(name).is_file()

    def load(self, name: str) -> Checkpoint:
        """The weights of a name: an HRNet's with its authors' names, a detector's with torchvision's.

        Raises:
            InvalidWeights: they are not there, are damaged, or belong to something else.
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
        """What the header says, after everything was checked: digest, names and shapes of the tensors.

        Raises:
            InvalidWeights, ValueError: as `load`.
        """
        checkpoint = self.load(name)
        if slot(name).kind == "detector":
            detector_state(checkpoint.tensors, name)
        else:
            hrnet_state(checkpoint.tensors)
        return checkpoint.facts

    def add(self, name: str, file: Path, *, own: bool = False) -> dict[str, str]:
        """Takes weights from a file, in place of any that are there.

        Args:
            file: `.pth` as published, or safetensors: somebody else's, or of another store.
            own: whether a file that nobody has published is taken.

        Returns:
            What the new file's header says.

        Raises:
            InvalidWeights: the file's hash is not one that is published for this name (and, if it is none
                that is published at all, `own` is false), or what is in it does not fit the name.
            ValueError: there is no such name.
            OSError: the folder cannot be written.
        """
        checkpoint = read_weights_file(file, name, own=own)
        facts = {**checkpoint.facts, DIGEST: digest(checkpoint.tensors, checkpoint.facts)}
        self._write(name, checkpoint.tensors, facts)
        return facts

    def entries(self) -> dict[str, dict[str, str] | None]:
        """Each name of the registry, with its file's header; None: not there; {}: it cannot be read."""
        found: dict[str, dict[str, str] | None] = {}
        for name in REGISTRY:
            try:
                found[name] = read_facts(self.path(name)) if self.has(name) else None
            except InvalidWeights:
                found[name] = {}
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keeps other processes from getting the same weights meanwhile; waits until none does."""
        slot(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{name}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # ends with the file's closing, and with the process
            yield

    def _write(self, name: str, tensors: dict[str, Tensor], facts: dict[str, str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=self.folder)
        os.close(descriptor)
        try:
            save_file(tensors, temporary, facts)
            _to_disk(temporary)
            os.chmod(temporary, 0o644)  # another user's worker may read it; mkstemp lets only us
            os.replace(temporary, self.path(name))
        except SafetensorError as error:  # what the writer says of a full disk
            raise OSError(f"the weights of {name} cannot be written: {error}") from None
        finally:
            Path(temporary).unlink(missing_ok=True)
        _to_disk(self.folder)


def _to_disk(path: Path | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

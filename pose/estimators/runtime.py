"""Run a network with OpenVINO on a CPU: convert it from torch once, and keep the result beside the weights.

OpenVINO folds batch norms into convolutions and blocks the tensors for the processor. It computes in float32
as torch does, so results differ in the last digits. ONNX Runtime is as fast, but converting a network for it
needs the packages onnx and onnxscript.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from pose.errors import InvalidWeights
from pose.weights.checkpoint import MAX_PUBLISHED_BYTES, read_safetensors
from pose.weights.ingest import DIGEST, digest
from pose.weights.store import write_tensors

FOLDER: Final = "converted"  # beside the weights
_FORMAT: Final = "1"  # raise it when networks are converted in another way
_PROBE: Final = 64  # pixels: side of the input on which both runtimes must agree
_TOLERANCE: Final = 1e-4  # of the largest output; float32 gives about 1e-6


def runtime_version(runtime: str, precision: str = "fp32") -> str:
    """Return a runtime with its version, such as "openvino 2026.4.1" or "torch 2.15.0 fp16".

    It stands in the result.
    """
    version = torch.__version__ if runtime == "torch" else _openvino().__version__
    told = f"{runtime} {re.split(r'[-+]', version)[0]}"
    return told if precision == "fp32" else f"{told} {precision}"


class Converted:
    """A network that OpenVINO runs on the CPU, with as many threads as torch has now.

    Args:
        network: in evaluation mode, (N, C, H, W) float32 -> a tensor or a tuple of tensors. H and W are free.
        channels: C.
        label: [a-z0-9-]+; the beginning of the file's name.
        folder: of the stored weights, for the converted network; None keeps none. Where it cannot be written,
            the network is converted each time.

    Raises:
        InvalidWeights: OpenVINO and torch do not compute the same with this network.
    """

    def __init__(self, network: nn.Module, channels: int, label: str, folder: Path | None = None) -> None:
        self._probe = torch.rand(1, channels, _PROBE, _PROBE, generator=_unpredictable())
        self._expected = _outputs(network, self._probe)
        # The key is computed and not read from the weights' file: a network may have other weights by now.
        state = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
        facts = {"network": type(network).__name__, "format": _FORMAT, "torch": torch.__version__}
        key = digest(state, facts | {"openvino": _openvino().get_version()})
        path = None if folder is None else folder / FOLDER / f"{label}-{key[:32]}.safetensors"
        if path is not None and self._read(path, key):
            return
        files = _convert(network, self._probe)
        self._request = _compile(*files).create_infer_request()
        if not self._agrees():
            raise InvalidWeights(f"weights of {label}: OpenVINO and torch disagree: choose the runtime torch")
        if path is not None:
            _write(path, label, key, files)

    def __call__(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) float32 on the CPU -> the network's outputs."""
        found = self._request.infer([np.ascontiguousarray(inputs.numpy())], share_inputs=True)
        return tuple(torch.from_numpy(found[i]) for i in range(len(found)))

    def _read(self, path: Path, key: str) -> bool:
        """Take the converted network of a file. Return False if the file is missing, damaged or another's."""
        try:
            stored = read_safetensors(path, 2 * MAX_PUBLISHED_BYTES)
            tensors = stored.tensors
            if stored.facts.get("key") != key or stored.facts.get(DIGEST) != digest(tensors, stored.facts):
                return False
            files = (tensors[name].numpy().tobytes() for name in ("xml", "bin"))
            self._request = _compile(*files).create_infer_request()
            return self._agrees()
        except (InvalidWeights, KeyError, RuntimeError):  # OpenVINO raises nothing more precise
            return False

    def _agrees(self) -> bool:
        """Return whether the outputs for the probe are those of torch."""
        found = self(self._probe)
        return len(found) == len(self._expected) and all(
            ours.shape == theirs.shape and _are_close(ours, theirs)
            for ours, theirs in zip(found, self._expected, strict=True)
        )


def compile_onnx(model: bytes) -> Any:
    """Return OpenVINO's compiled model for the bytes of a trusted ONNX file.

    Raises:
        RuntimeError: OpenVINO cannot read it.
    """
    return _compile(model, b"")


def _are_close(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= _TOLERANCE * theirs.abs().max())


def _outputs(network: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        found = network(inputs)
    return (found,) if isinstance(found, Tensor) else tuple(found)


def _convert(network: nn.Module, example: Tensor) -> tuple[bytes, bytes]:
    """Return a network in OpenVINO's format: the graph as XML, and the weights."""
    openvino = _openvino()
    with warnings.catch_warnings(), torch.inference_mode():
        # torch.export, which replaces torch.jit, takes five times as long to convert an HRNet. The warnings
        # are about this, and about checks of arguments, which depend on the shape of the example.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, example, check_trace=False)
        model = openvino.convert_model(traced, example_input=example)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.xml"
        openvino.save_model(model, file, compress_to_fp16=False)
        return file.read_bytes(), file.with_suffix(".bin").read_bytes()


def _compile(model: bytes, weights: bytes) -> Any:
    core = _core(os.getpid())
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bfloat16 otherwise where a processor has it
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False,  # each process would take the first cores
    }
    return core.compile_model(core.read_model(model, weights), "CPU", options)


def _write(path: Path, label: str, key: str, files: tuple[bytes, bytes]) -> None:
    """Keep a converted network, in place of those of other weights or versions."""
    xml, weights = (torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in files)
    tensors = {"xml": xml, "bin": weights}
    facts = {"key": key}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, facts | {DIGEST: digest(tensors, facts)})
        for other in path.parent.glob(f"{label}-{'?' * 32}.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError:  # a folder that others fill is often read-only
        return


def _unpredictable() -> torch.Generator:
    """Return a generator whose numbers the author of a file cannot know."""
    return torch.Generator().manual_seed(int.from_bytes(os.urandom(8), "big") >> 1)


@functools.cache
def _core(pid: int) -> Any:
    """Return the one Core of a process.

    Each one gives the thread another stack for signal handlers, and takes it away when it ends: where several
    end in another order than they began, the next signal ends the process. A forked child cannot use its
    parent's, whose threads it does not have.
    """
    return _openvino().Core()


def _openvino() -> Any:
    """Import OpenVINO, but not the package with which it reports each import and conversion to its makers."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)
    import openvino

    return openvino

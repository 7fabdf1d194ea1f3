"""Run steps on a GPU: as CUDA graphs, with pictures that are uploaded as they are stored.

All steps but the recording of graphs run on a CPU too, so that tests can compare them with those of the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Precision = Literal["fp32", "fp16"]
Step = Callable[[Tensor], Tensor]
Replay = Callable[[], object]
Record = Callable[[Step, Tensor], tuple[Replay, Tensor]]

_WARM_UP: Final = 2  # runs before a graph is recorded: libraries choose their kernels in the first one


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Compute convolutions of float32 tensors in float32.

    On recent GPUs torch uses TF32 by default (ten bits of mantissa), which changes the third digit of
    heatmaps. On a CPU, and for float16, this has no effect.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@contextlib.contextmanager
def _tuned(tune: bool) -> Iterator[None]:
    """Let cuDNN try its kernels for each new shape, or not."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = tune or before
    try:
        yield
    finally:
        cudnn.benchmark = before


def batch_sizes(largest: int) -> list[int]:
    """Return the sizes of batches for which graphs are recorded. A batch is at least half of one.

    >>> batch_sizes(20)
    [1, 2, 3, 4, 6, 8, 12, 16, 20]
    """
    powers = [2**i for i in range(largest.bit_length())]
    return sorted({size for p in powers for size in (p, p * 3 // 2) if size < largest} | {largest})


def record_cuda_graph(step: Step, inputs: Tensor, pool: Any = None) -> tuple[Replay, Tensor]:
    """Record a step on the GPU of its inputs; return what repeats it, and its output."""
    with torch.cuda.device(inputs.device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                step(inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = step(inputs)
    return graph.replay, output


class FixedBatches:
    """A step of a batch, recorded for a few sizes of the batch; a batch is filled up to the next of them.

    Starting the kernels of a small network one by one takes longer than running them. A CUDA graph starts all
    of them at once, but only for inputs of one shape at one place in memory.

    Args:
        step: (N, ...) on the device -> (N, ...) on the device. Each element of the output depends on one of
            the input only. The step copies nothing from or to the CPU.
        shape: of one element of the input.
        dtype: of the input.
        device: where the step runs.
        largest: N, at most.
        tune: let cuDNN try its kernels and take the fastest. Another process may take others, which round
            otherwise.
        record: `record_cuda_graph`, or a fake in a test.
    """

    def __init__(
        self,
        step: Step,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        largest: int,
        record: Record | None = None,
        tune: bool = False,
    ) -> None:
        if record is None:
            pool = torch.cuda.graph_pool_handle()  # graphs never run side by side: they share their memory

            def record(step: Step, inputs: Tensor) -> tuple[Replay, Tensor]:
                return record_cuda_graph(step, inputs, pool)

        self._inputs = torch.zeros((largest, *shape), dtype=dtype, device=device)
        with torch.inference_mode(), _tuned(tune):
            # The largest first: the memory it needs is enough for the others.
            recorded = {size: record(step, self._inputs[:size]) for size in batch_sizes(largest)[::-1]}
        self._recorded = dict(sorted(recorded.items()))

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the step's output for (n, ...), n at most `largest`."""
        count = len(inputs)
        size = next(size for size in self._recorded if size >= count)
        replay, output = self._recorded[size]
        self._inputs[:count].copy_(inputs, non_blocking=True)
        replay()
        return output[:count].clone()


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device; do not wait for the copy."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def as_stored(view: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], bool, tuple[int, ...]]:
    """Undo the turns and mirrorings of a view (H, W, 3): return the array in the order of its memory.

    Copying a turned picture takes ten times as long as copying it as it is stored.

    Returns:
        The array, whose colours lie side by side (if those of the view do not, it is a copy); whether its
        rows are the view's columns; and the axes (0: rows, 1: columns) of the view that run backwards.
    """
    backwards = tuple(axis for axis in (0, 1) if view.strides[axis] < 0)
    stored = np.flip(view, backwards)
    if stored.strides[2] < 0:
        stored = np.ascontiguousarray(stored)
    swapped = stored.strides[0] < stored.strides[1]
    return (stored.transpose(1, 0, 2) if swapped else stored), swapped, backwards


def upload_picture(picture: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy a picture (H, W, 3), which may be a turned view, to a device; turn it there."""
    stored, swapped, backwards = as_stored(picture)
    there = upload(torch.from_numpy(np.ascontiguousarray(stored)), device)
    return (there.transpose(0, 1) if swapped else there).flip(backwards)

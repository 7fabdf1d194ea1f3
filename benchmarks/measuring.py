"""Measure a step: medians of wall-clock and CPU time, and what it was measured on."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("numpy", "opencv-python-headless", "torch", "torchvision", "openvino", "celery")


@dataclass(frozen=True)
class Timing:
    """Medians of one step.

    Attributes:
        step: What was measured.
        ms, cpu_ms: Wall-clock and CPU milliseconds. On a busy machine, compare the CPU time.
        threads: Of torch, OpenVINO, OpenCV and the analysis.
        runs: How many runs the medians are of.
        compared_with: The step of the original that does the same.
        ratio: CPU time as a share of that step's; None if there is no such step.
    """

    step: str
    ms: float
    cpu_ms: float
    threads: int
    runs: int
    compared_with: str | None = None
    ratio: float | None = None


def measure(
    step: str,
    run: Callable[[], object],
    *,
    threads: int,
    runs: int,
    count: int = 1,
    against: Timing | None = None,
) -> Timing:
    """Return the medians of a step. A run before the first one warms up, unless there is only one.

    Args:
        step: What is measured.
        run: Does the step.
        threads: How many it may use.
        runs: How often it is run.
        count: How many things one run does; the time is that of one of them.
        against: The step of the original that does the same.
    """
    if runs > 1:
        run()
    wall, cpu = [], []
    for _ in range(runs):
        start, busy = time.perf_counter(), time.process_time()
        run()
        _wait_for_gpu()
        wall.append(1000 * (time.perf_counter() - start) / count)
        cpu.append(1000 * (time.process_time() - busy) / count)
    ms, cpu_ms = statistics.median(wall), statistics.median(cpu)
    return Timing(step, ms, cpu_ms, threads, runs, *_ratio(cpu_ms, against))


def total(step: str, parts: list[tuple[Timing, int]], against: Timing | None = None) -> Timing:
    """Return the sum of steps, each with how often it is done."""
    ms = sum(each.ms * count for each, count in parts)
    cpu_ms = sum(each.cpu_ms * count for each, count in parts)
    first = parts[0][0]
    return Timing(
        step, ms, cpu_ms, first.threads, min(each.runs for each, _ in parts), *_ratio(cpu_ms, against)
    )


def _ratio(cpu_ms: float, against: Timing | None) -> tuple[str | None, float | None]:
    return (None, None) if against is None else (against.step, cpu_ms / against.cpu_ms)


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def machine(device: str) -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, load, device and versions."""
    import torch

    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "device": device,
        "gpu": gpu,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in _PACKAGES},
    }


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except ImportError:
        return None

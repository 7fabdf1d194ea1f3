"""The worker's app on a machine with a fault: `celery -A tests.support.faulty_app worker`.

`FAULT` names the fault, and `FAULT_PROCESSES` how many processes get it, one after another.
By default all do.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from pathlib import Path
from typing import Any, Final

import torch

import worker.scans.self_check
import worker.tasks
from worker.app import app
from worker.keys import ScanId

__all__ = ["app"]

ODD: Final = "odd"  # the ids of scans that hit a bug begin with it
POISON: Final = "poison"  # and those of scans that kill their process

_process = worker.tasks.process
_analyse_known_good = worker.scans.self_check.analyse_known_good
_broken: dict[int, bool] = {}


def _process_with_fault(scan_id: ScanId, *arguments: Any, **options: Any) -> Any:
    if scan_id.startswith(ODD):
        raise KeyError(scan_id)
    if scan_id.startswith(POISON):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("FAULT") and os.getpid() not in _broken:
        _broken[os.getpid()] = _is_next()
        if _broken[os.getpid()] and os.environ["FAULT"] == "threads":
            threading.stack_size(1 << 46)  # the system refuses each new thread from here on
        if _broken[os.getpid()] and os.environ["FAULT"] == "descriptors":
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # and here each new file and connection
    if _broken.get(os.getpid()) and os.environ["FAULT"] == "device":
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    return _process(scan_id, *arguments, **options)


def _analyse_with_fault(*arguments: Any, **options: Any) -> None:
    if _broken.get(os.getpid()) and os.environ["FAULT"] == "device":
        # A sticky error: each further call to the device fails as well.
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    _analyse_known_good(*arguments, **options)


def _is_next() -> bool:
    """Return whether this process gets the fault, and count it."""
    for number in range(int(os.environ.get("FAULT_PROCESSES", "1000"))):
        try:
            Path(f"fault-{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


worker.tasks.process = _process_with_fault
worker.scans.self_check.analyse_known_good = _analyse_with_fault

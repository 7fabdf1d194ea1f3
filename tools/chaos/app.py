"""The worker's app with two faulty kinds of scans: `celery -A tools.chaos.app worker`.

An unacknowledged message comes back sooner than with the real app, so that this timeout also expires within
minutes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Final

import torch

import worker.scans.self_check
import worker.tasks
from tools.chaos.settings import BROKEN_DEVICE, DEADLY, NO_THREADS, STUCK, broken_file
from worker.app import app
from worker.config.settings import load_settings
from worker.keys import ScanId

MARGIN_S: Final = 10  # between the hard time limit and the moment when a message comes back

process = worker.tasks.process
analyse_known_good = worker.scans.self_check.analyse_known_good


def break_down() -> None:
    """Do what the fault of this process does, if it has one."""
    try:
        fault = Path(broken_file(os.getpid())).read_text()
    except FileNotFoundError:
        return
    if fault == NO_THREADS:
        threading.stack_size(1 << 46)  # the system refuses each new thread from here on
    if fault == BROKEN_DEVICE:
        # As of a GPU: each further call to it fails as well.
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")


def check_or_break_down(*args: Any, **options: Any) -> None:
    """As `worker.scans.self_check.analyse_known_good`."""
    break_down()
    analyse_known_good(*args, **options)


def process_or_die(scan_id: ScanId, *args: Any, **options: Any) -> Any:
    """See `worker.scans.process.process`."""
    if scan_id.startswith(DEADLY):
        os.kill(os.getpid(), signal.SIGKILL)
    if scan_id.startswith(STUCK):
        # Like a C call that never returns: the soft time limit cannot interrupt it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        time.sleep(1e6)
    return process(scan_id, *args, **options)


worker.tasks.process = process_or_die
worker.scans.self_check.analyse_known_good = check_or_break_down
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": load_settings().time_limit_s + MARGIN_S,
}

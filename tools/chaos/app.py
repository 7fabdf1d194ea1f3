"""The worker's app with two faulty kinds of scans: `celery -A tools.chaos.app worker`.

An unacknowledged message comes back sooner than with the real app, so that this timeout also expires within
minutes.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

import worker.tasks
from tools.chaos.settings import DEADLY, STUCK
from worker.app import app
from worker.config.settings import load_settings
from worker.keys import ScanId

MARGIN_S: Final = 10  # between the hard time limit and the moment when a message comes back

process = worker.tasks.process


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
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": load_settings().time_limit_s + MARGIN_S,
}

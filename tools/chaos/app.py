"""The worker's app, `celery -A tools.chaos.app worker`, where scans of two names go wrong by themselves.

A message that is not acknowledged comes back sooner than in the real one, so that this clock runs out as well
within some minutes.
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

MARGIN_S: Final = 10  # between the hard time limit and the moment at which a message comes back

process = worker.tasks.process


def process_or_die(scan_id: ScanId, *args: Any, **options: Any) -> Any:
    """As `worker.scans.process.process`."""
    if scan_id.startswith(DEADLY):
        os.kill(os.getpid(), signal.SIGKILL)
    if scan_id.startswith(STUCK):
        # As in a call of C's that never comes back: the soft limit is not heard.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        time.sleep(1e6)
    return process(scan_id, *args, **options)


worker.tasks.process = process_or_die
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": load_settings().time_limit_s + MARGIN_S,
}

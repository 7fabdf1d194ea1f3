"""Settings of the workers in a chaos run: short leases, so that every timeout expires during the run."""

from __future__ import annotations

from typing import Final

DEADLY: Final = "deadly"  # a scan whose id begins with this kills its process, see `app.py`
STUCK: Final = "stuck"  # a scan whose id begins with this never ends
BROKEN_DEVICE: Final = "a broken device"
NO_THREADS: Final = "no threads left"
MAX_OBJECT_BYTES: Final = 512 * 1024
MAX_MESSAGE_BYTES: Final = 64 * 1024
ARRIVALS: Final = "pose:arrivals"
EVENTS: Final = "pose:events"
SCANS: Final = "scans"
RESULTS: Final = "results"
# Longer than the lock lives, shorter than the time limit: a frozen process has lost its scan when it goes on.
LOCK_TTL_S: Final = 6
SHUTDOWN_GRACE_S: Final = 8

ENVIRONMENT: Final = {
    "SCANS_URL": f"s3://{SCANS}",
    "RESULTS_URL": f"s3://{RESULTS}/pose",
    "ARRIVALS_LIST": ARRIVALS,
    "ARRIVALS_QUIET_S": "2",
    # Longer than the other half of an upload takes while S3 is stopped.
    "INCOMPLETE_S": "20",
    "EVENTS_STREAM": EVENTS,
    "MAX_MESSAGE_BYTES": str(MAX_MESSAGE_BYTES),
    "MAX_OBJECT_BYTES": str(MAX_OBJECT_BYTES),
    # So many that a scan which ends by itself does not reach the limit by bad luck.
    "MAX_DEATHS": "5",
    "LOCK_TTL_S": str(LOCK_TTL_S),
    "QUEUE_LEASE_S": "20",
    "RECONCILE_EVERY_S": "5",
    "RETRY_BASE_S": "0.5",
    "SOFT_TIME_LIMIT_S": "40",
    "TIME_LIMIT_S": "50",
    "SHUTDOWN_GRACE_S": str(SHUTDOWN_GRACE_S),
    "MODEL": "depth-hrnet",
    "DEVICE": "cpu",
    "LOG_FORMAT": "json",
    "PYTHONFAULTHANDLER": "1",  # prints the stack of a process that does not end
    "OMP_NUM_THREADS": "1",
}


def broken_file(pid: int) -> str:
    """Return the name of the file that gives a worker's process a fault, in the folder of the run."""
    return f"broken-{pid}"

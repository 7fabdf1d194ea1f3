"""The places in files where a scan id may stand, besides the ledger, the events and the storage."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Final

from worker.erasure.mentions import scans_named
from worker.keys import ScanId

SETTLED_S: Final = 60.0  # a worker reads or writes younger hidden files


def remove_files(folder: Path, prefix: str, scan_ids: frozenset[ScanId]) -> Counter[str]:
    """Remove the files of a folder whose JSON names one of the scans. Return their numbers, by scan id.

    Args:
        folder: Of the queue or of Celery's results.
        prefix: How the names of the files start. Hidden files are drafts and taken messages of workers.
        scan_ids: The scans.
    """
    removed: Counter[str] = Counter()
    for path in folder.glob("*") if folder.is_dir() else ():
        hidden = path.name.startswith(".")
        if not hidden and not path.name.startswith(prefix):
            continue
        try:
            if hidden and path.stat().st_mtime > time.time() - SETTLED_S:
                continue
            if named := scan_ids & scans_named(path.read_bytes()):
                path.unlink()
                removed.update(named)
        except (FileNotFoundError, IsADirectoryError):  # taken by a worker meanwhile
            continue
    return removed

"""Open the ledger that the settings name."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from worker.config.settings import Settings
from worker.ledger.base import Ledger


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of this process: in Redis where there is one, else in a file of `RUN_DIR`."""
    return _open(settings, os.getpid())


@functools.lru_cache(maxsize=1)
def _open(settings: Settings, _pid: int) -> Ledger:
    if settings.redis_url:
        from worker.config.redis_client import open_redis
        from worker.ledger.redis import RedisLedger

        return RedisLedger(open_redis(settings.redis_url, decode_responses=True), settings.lock_ttl_s)
    from worker.ledger.sqlite import SqliteLedger

    return SqliteLedger(ledger_file(settings), settings.lock_ttl_s)


def ledger_file(settings: Settings) -> Path:
    """Where the ledger is that needs no server."""
    return settings.run_dir.absolute() / "ledger.sqlite"

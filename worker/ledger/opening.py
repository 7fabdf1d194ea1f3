"""Open the ledger that the settings choose."""

from __future__ import annotations

import functools
import os

from worker.config.settings import Settings
from worker.ledger.base import Ledger


def open_ledger(settings: Settings) -> Ledger:
    """Return the ledger of this process: in Redis if there is a `redis_url`, else in a file in `RUN_DIR`."""
    return _open(settings, os.getpid())


@functools.lru_cache(maxsize=1)
def _open(settings: Settings, _pid: int) -> Ledger:
    if settings.redis_url:
        from worker.config.redis_client import open_redis
        from worker.ledger.redis import RedisLedger

        client = open_redis(settings.redis_url, master_name=settings.redis_master_name, decode_responses=True)
        return RedisLedger(client, settings.lock_ttl_s)
    from worker.ledger.sqlite import FILE_NAME, SqliteLedger

    return SqliteLedger(settings.run_dir.absolute() / FILE_NAME, settings.lock_ttl_s)

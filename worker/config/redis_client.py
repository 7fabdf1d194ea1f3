"""One way to reach our own Redis (`REDIS_URL`). The broker's connections are Celery's, and made elsewhere."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT_S: Final = 2.0
TIMEOUT_S: Final = 5.0


def open_redis(url: str, timeout_s: float = TIMEOUT_S, **options: Any) -> redis.Redis:
    """A client that says after `timeout_s` seconds at most that Redis is away. Nothing is connected to yet.

    To be made in the process that uses it. A command that blocks on purpose needs a longer `timeout_s`.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=min(CONNECT_TIMEOUT_S, timeout_s),
        socket_keepalive=True,
        health_check_interval=30,
        # Once more, as a connection that was idle may have been closed by the other side. Whoever asks
        # decides how long it is worth waiting for a Redis that is away.
        retry=Retry(NoBackoff(), 1),
        **options,
    )

"""The client for the worker's own Redis (`REDIS_URL`). Celery makes the broker's connections itself."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from worker.config.redis_urls import is_sentinel, master_options, sentinels

CONNECT_TIMEOUT_S: Final = 2.0
TIMEOUT_S: Final = 5.0
# Of the connections to sentinels. Another sentinel is asked at once if one does not answer; by default,
# redis-py tries each several times, for ten seconds and more at each new connection to the master.
SENTINEL_OPTIONS: Final[dict[str, Any]] = {
    "socket_timeout": CONNECT_TIMEOUT_S,
    "socket_connect_timeout": CONNECT_TIMEOUT_S,
    "retry": Retry(NoBackoff(), 0),
}


def open_redis(
    url: str, timeout_s: float = TIMEOUT_S, *, master_name: str | None = None, **options: Any
) -> redis.Redis:
    """Return a client whose commands fail after `timeout_s` seconds if Redis does not answer.

    The client connects at its first command. Make it in the process that uses it. A command that blocks on
    purpose needs a longer `timeout_s`.

    Args:
        url: `redis://`, `rediss://` or `sentinel://`.
        timeout_s: Of each command.
        master_name: Of the master, for `sentinel://` (`REDIS_MASTER_NAME`). Each new connection asks the
            sentinels where it is.
        options: Further ones of `redis.Redis`.
    """
    options = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(CONNECT_TIMEOUT_S, timeout_s),
        "socket_keepalive": True,
        "health_check_interval": 30,
        # Retry once: the server may have closed an idle connection. The caller decides whether to wait for a
        # Redis that is down.
        "retry": Retry(NoBackoff(), 1),
        **options,
    }
    if not is_sentinel(url):
        return redis.Redis.from_url(url, **options)
    client: redis.Redis = Sentinel(sentinels(url), sentinel_kwargs=SENTINEL_OPTIONS).master_for(
        master_name, **master_options(url), **options
    )
    return client

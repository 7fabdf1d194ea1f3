"""URLs of Redis: one server, or several sentinels that know which server is the master."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from redis.connection import parse_url

SENTINEL: Final = "sentinel://"
SENTINEL_PORT: Final = 26379
DATABASE: Final = re.compile(r"/?[0-9]{0,4}")
ONE_SERVER: Final = ("redis://", "rediss://")
# Brokers that only one machine can use, so that locks and events may be in files of that machine.
OF_THIS_MACHINE: Final = ("filesystem", "memory")


def is_sentinel(url: str) -> bool:
    """Return whether a URL names sentinels."""
    return url.startswith(SENTINEL)


def is_several(url: str) -> bool:
    """Return whether a URL names several Redis servers of which none knows about the others.

    >>> is_several("redis://a;redis://b"), is_several("sentinel://a;sentinel://b")
    (True, False)
    """
    return url.startswith(ONE_SERVER) and ";" in url


def sentinels(url: str) -> list[tuple[str, int]]:
    """Return host and port of each sentinel.

    >>> sentinels("sentinel://a;sentinel://:password@b:7000/1")
    [('a', 26379), ('b', 7000)]

    Raises:
        ValueError: The URL is not sentinel://host:port/database, or several of them with `;` between them.
            The text does not contain the URL.
    """
    found = []
    for each in url.split(";"):
        try:
            parts = urlsplit(each)
            port = parts.port or SENTINEL_PORT
        except ValueError:  # its text contains parts of the URL
            port = 0
        if not port or parts.scheme != "sentinel" or not parts.hostname or not DATABASE.fullmatch(parts.path):
            raise ValueError("must be sentinel://host:port/database, or several with ; between them")
        found.append((parts.hostname, port))
    return found


def master_options(url: str) -> dict[str, str | int]:
    """Return database, user name and password of the master behind sentinels. They stand in the first URL.

    >>> master_options("sentinel://:password@a/1;sentinel://b")
    {'db': 1, 'password': 'password'}
    """
    first = parse_url("redis" + url.partition(";")[0].removeprefix("sentinel"))
    return {name: first[name] for name in ("db", "username", "password") if name in first}


def check_redis_url(value: str) -> str:
    """Return a URL for the worker's own Redis.

    Raises:
        ValueError: It names no Redis, or several servers. The text does not contain the URL.
    """
    if is_sentinel(value):
        sentinels(value)
        return value
    try:
        if ";" not in value and "://" in value and parse_url(value):
            return value
    except ValueError:  # its text contains parts of the URL
        pass
    raise ValueError("must be redis://host:port/database, rediss://… or sentinel://…")


def check_broker_url(value: str) -> str:
    """Return a URL of Celery's broker.

    Raises:
        ValueError: It names sentinels, and not as kombu reads them.
    """
    if is_sentinel(value):
        sentinels(value)
    return value


def check_backend_url(value: str) -> str:
    """Return a URL of Celery's result store.

    Raises:
        ValueError: It names several Redis servers, or sentinels in another form.
    """
    if is_several(value):
        raise ValueError("must name one Redis: a result would be in one of them, and looked for in another")
    return check_broker_url(value)


def redis_of_broker(url: str) -> str | None:
    """Return the broker's URL if locks and events may be there too: one Redis, or sentinels."""
    return url if url.startswith((*ONE_SERVER, SENTINEL)) and not is_several(url) else None

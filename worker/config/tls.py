"""TLS to Redis, with the server's certificate checked."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit


def with_checked_certificate(url: str, authority: Path | None) -> str:
    """A URL of Redis, or several with `;` between them, that has certificates checked.

    Celery and redis-py read the same words in the query of such a URL, but not by the same defaults. Other
    URLs are given back as they are.

    Args:
        authority: the file of certificates to check against; without, those of the system.

    Raises:
        ValueError: the URL says that a certificate is not to be checked.
    """
    return ";".join(_checked(each, authority) for each in url.split(";"))


def kombu_options(url: str) -> dict[str, Any] | None:
    """What `broker_use_ssl` must be for such a URL; None for others.

    Kombu leaves the query of a broker's URL unread, and without these options it checks nothing.
    """
    if not url.startswith("rediss://"):
        return None
    query = dict(parse_qsl(urlsplit(url.partition(";")[0]).query))
    authority = {"ssl_ca_certs": query["ssl_ca_certs"]} if "ssl_ca_certs" in query else {}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **authority}


def _checked(url: str, authority: Path | None) -> str:
    if not url.startswith("rediss://"):
        return url
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    required = query.get("ssl_cert_reqs", "required") in ("required", "CERT_REQUIRED")
    if not required or query.get("ssl_check_hostname", "true").lower() not in ("true", "1"):
        raise ValueError("must have the server's certificate checked; REDIS_CA_FILE names who signed it")
    query["ssl_cert_reqs"] = "required"
    if authority is not None:
        query.setdefault("ssl_ca_certs", str(authority.absolute()))
    return parts._replace(query=urlencode(query, safe="/")).geturl()

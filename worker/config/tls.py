"""TLS to Redis. The server's certificate is always checked."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit


def with_checked_certificate(url: str, ca_file: Path | None) -> str:
    """Add to a `rediss://` URL that the server's certificate must be checked.

    Celery and redis-py read the same options in the query of such a URL, but their defaults differ. `url` may
    be several URLs with `;` between them. URLs of other schemes are returned unchanged.

    >>> with_checked_certificate("rediss://host", Path("/etc/ca.crt"))
    'rediss://host?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.crt'

    Args:
        ca_file: the certificates of the authorities to trust. None: those of the system.

    Raises:
        ValueError: the URL turns off the check.
    """
    return ";".join(_checked(each, ca_file) for each in url.split(";"))


def kombu_options(url: str) -> dict[str, Any] | None:
    """Return the value of `broker_use_ssl` for a `rediss://` URL, None for other schemes.

    Kombu ignores the query of a broker's URL. Without these options it checks no certificate.
    """
    if not url.startswith("rediss://"):
        return None
    query = dict(parse_qsl(urlsplit(url.partition(";")[0]).query))
    ca_file = {"ssl_ca_certs": query["ssl_ca_certs"]} if "ssl_ca_certs" in query else {}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True, **ca_file}


def _checked(url: str, ca_file: Path | None) -> str:
    if not url.startswith("rediss://"):
        return url
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    required = query.get("ssl_cert_reqs", "required") in ("required", "CERT_REQUIRED")
    if not required or query.get("ssl_check_hostname", "true").lower() not in ("true", "1"):
        raise ValueError(
            "must not turn off the check of the server's certificate;"
            " set REDIS_CA_FILE to the certificate of its authority"
        )
    query["ssl_cert_reqs"] = "required"
    if ca_file is not None:
        query.setdefault("ssl_ca_certs", str(ca_file.absolute()))
    return parts._replace(query=urlencode(query, safe="/")).geturl()

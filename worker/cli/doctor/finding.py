"""What a check has found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How good a finding is. Only `wrong` makes the command exit with 1."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: What was looked at.
        level: How good it is.
        text: What was found, for a person to read. It holds no secret.
        cure: What to do, if there is something to do.
    """

    check: str
    level: Level
    text: str
    cure: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, cure: str) -> Finding:
    return Finding(check, Level.WARNING, text, cure)


def wrong(check: str, text: str, cure: str) -> Finding:
    return Finding(check, Level.WRONG, text, cure)


def without_secrets(url: str) -> str:
    """Return a URL, or several with `;` between them, without user, password and query.

    >>> without_secrets("redis://user:p@ss/word@host:6379/0?password=x")
    'redis://***@host:6379/0?***'
    """

    def masked(one: str) -> str:
        # Up to the last @: a password that was not quoted may hold an @ or a slash.
        return re.sub(r"\?.*", "?***", re.sub(r"://.*@", "://***@", one))

    return ";".join(map(masked, url.split(";")))

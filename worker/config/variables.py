"""Find environment variables that look like settings and are none: `SCAN_URL` for `SCANS_URL`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from worker.config.secrets import S3_KEYS
from worker.config.secrets import SETTINGS as SECRETS

# Of `difflib`: from here on, two names are alike. In a short name one letter more or less means more.
ALIKE: Final = 0.82
SHORT_ALIKE: Final = 0.9
SHORT: Final = 5
# A variable that begins with one of these words means this program, whatever its other words are.
FAMILIES: Final = frozenset(
    [
        "CELERY",
        "REDIS",
        "QUEUE",
        "SCAN",
        "SCANS",
        "RESULT",
        "RESULTS",
        "WEIGHT",
        "WEIGHTS",
        "ARRIVAL",
        "ARRIVALS",
        "EVENT",
        "EVENTS",
        "DETECTOR",
        "RETRY",
        "RECONCILE",
        "RETENTION",
        "LOCK",
        "SHUTDOWN",
    ]
)
PREFIXES: Final = ("POSE_", "WORKER_", "POSE_WORKER_", "CELERY_")
# Variables of other programs that begin or read like ours: of Celery, boto3, PyTorch and Kubernetes.
OF_OTHERS: Final = frozenset(
    [
        "AWS_ENDPOINT_URL",
        "CELERY_APP",
        "CELERY_CONFIG_MODULE",
        "CELERY_CUSTOM_WORKER_POOL",
        "CELERY_LOADER",
        "CELERY_LOG_FILE",
        "CELERY_LOG_LEVEL",
        "CELERY_LOG_REDIRECT",
        "CELERY_LOG_REDIRECT_LEVEL",
        "CELERY_NO_COLOR",
        "CELERY_QUIET",
        "CELERY_RDB_HOST",
        "CELERY_RDB_PORT",
        "CELERY_SKIP_CHECKS",
        "CELERY_TRACE_APP",
        "CELERY_WORKDIR",
        "TORCH_HOME",
        "TORCH_LOGS",
    ]
)
# Celery reads `CELERY_WORKER_LOGLEVEL` for `celery worker --loglevel`.
_BEGINNINGS_OF_OTHERS: Final = ("CELERY_WORKER_", "CELERY_BEAT_", "CELERY_FLOWER_")
_ENDINGS_OF_OTHERS: Final = ("_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_ADDR", "_PROTO")


def misspelt_variables(
    settings: Iterable[str], environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str]]:
    """Yield each variable that looks like a setting and is none, and the setting that is nearest to it.

    >>> list(misspelt_variables(["SCANS_URL"], {"SCAN_URL": "s3://scans", "PATH": "/bin"}))
    [('SCAN_URL', 'SCANS_URL')]

    Args:
        settings: The names of all settings.
        environment: The variables.
    """
    known = [*settings, *S3_KEYS]
    ours = {*known, *(f"{name}_FILE" for name in (*SECRETS, *S3_KEYS))}
    for variable in sorted(environment):
        name = variable.upper()  # pydantic reads a setting in small letters as well
        if name in ours or name in OF_OTHERS or name.startswith(_BEGINNINGS_OF_OTHERS):
            continue
        if name.endswith(_ENDINGS_OF_OTHERS):
            continue
        nearest = _nearest(name, known)
        if nearest is not None:
            yield variable, nearest


def _nearest(name: str, settings: list[str]) -> str | None:
    for prefix in PREFIXES:
        if name.removeprefix(prefix) in settings:
            return name.removeprefix(prefix)
    by_words = [each for each in settings if _same_words(name, each)]
    if by_words:
        return _most_alike(name, by_words, 0.0)
    if name.partition("_")[0] in FAMILIES:
        return _most_alike(name, settings, 0.0)
    return _most_alike(name, settings, SHORT_ALIKE if len(name) <= SHORT else ALIKE)


def _most_alike(name: str, settings: list[str], cutoff: float) -> str | None:
    found = difflib.get_close_matches(name, settings, n=1, cutoff=cutoff)
    return found[0] if found else None


def _same_words(name: str, setting: str) -> bool:
    """Return whether all words of one of the two names stand in the other, and two of them at least.

    >>> _same_words("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"), _same_words("HOME_URL", "SCANS_URL")
    (True, False)
    """
    one, other = ({word.removesuffix("S") for word in each.split("_")} for each in (name, setting))
    return min(len(one), len(other)) >= 2 and (one <= other or other <= one)

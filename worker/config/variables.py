"""Find environment variables that look like settings and are none: `SCAN_URL` for `SCANS_URL`."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from worker.config.secrets import S3_KEYS
from worker.config.secrets import SETTINGS as SECRETS

# Of `difflib`: from here on, two names are alike. In a short name one letter more or less means more.
ALIKE: Final = 0.82
SHORT_ALIKE: Final = 0.9
SHORT: Final = 5
# A variable that begins with one of these words means this program, whatever its other words are.
FAMILIES: Final = re.compile(
    r"CELERY|REDIS|QUEUE|SCANS?|RESULTS?|WEIGHTS?|ARRIVALS?|EVENTS?|DETECTOR|RETRY|RECONCILE|RETENTION|LOCK"
    r"|SHUTDOWN"
)
PREFIXES: Final = ("POSE_", "WORKER_", "POSE_WORKER_", "CELERY_")
# Variables of other programs that read like ours: of boto3, PyTorch, Celery and Kubernetes. Celery reads
# `CELERY_WORKER_LOGLEVEL` for `celery worker --loglevel`.
OF_OTHERS: Final = re.compile(
    r"AWS_ENDPOINT_URL|TORCH_HOME|TORCH_LOGS"
    r"|CELERY_(APP|CONFIG_MODULE|LOADER|CUSTOM_WORKER_POOL|NO_COLOR|QUIET|SKIP_CHECKS|TRACE_APP|WORKDIR)"
    r"|CELERY_(LOG|RDB|WORKER|BEAT|FLOWER)_.*"
)
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
        if name in ours or OF_OTHERS.fullmatch(name) or name.endswith(_ENDINGS_OF_OTHERS):
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
    if FAMILIES.fullmatch(name.partition("_")[0]):
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

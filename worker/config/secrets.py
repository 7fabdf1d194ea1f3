"""Secrets in files: `REDIS_URL_FILE=/run/secrets/redis` in place of `REDIS_URL=redis://…`.

Environment variables are visible in `inspect` commands of container engines, in crash reports and in child
processes. The content of a file that only the worker may read is not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SETTINGS: Final = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL", "SCANS_XOR_KEY")
S3_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
MAX_BYTES: Final = 4096


class SecretFileError(ValueError):
    """A secret's file cannot be used. The text names the variable, but neither the path nor the content."""


def secret_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Read the settings that are given as files. The keys are the names of their variables without `_FILE`.

    Raises:
        SecretFileError: one line for each file that cannot be used, the files of the S3 keys included.
    """
    found: dict[str, str] = {}
    errors: list[str] = []
    for name in SETTINGS:
        try:
            secret = _read_secret(name, environment)
            if secret is not None:
                found[name] = secret
        except SecretFileError as error:
            errors.append(str(error))
    try:
        s3_keys(environment)
    except SecretFileError as error:
        errors.append(str(error))
    if errors:
        raise SecretFileError("\n".join(errors))
    return found


def s3_keys(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Read the access key and the secret key of S3. None means: boto3 finds them in its usual places.

    Raises:
        SecretFileError: a file cannot be used, or only one of the two keys is given.
    """
    access, secret = (_read_secret(name, environment) for name in S3_KEYS)
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise SecretFileError("AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE: set both or neither")
    return access, secret


def _read_secret(name: str, environment: Mapping[str, str]) -> str | None:
    variable = f"{name}_FILE"
    path = environment.get(variable)
    if not path:
        return None
    if environment.get(name):
        raise SecretFileError(f"{variable}: {name} is set as well; set only one of the two")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        # Editors and `echo` add a newline at the end.
        text = content.decode().strip()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SecretFileError(f"{variable}: the file cannot be read: {reason}") from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}: the file is not UTF-8 text") from None
    if len(content) > MAX_BYTES or len(text.split()) != 1:
        raise SecretFileError(f"{variable}: the file must contain one word of at most {MAX_BYTES} bytes")
    return text

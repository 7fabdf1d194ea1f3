"""Secrets that stand in files: `REDIS_URL_FILE=/run/secrets/redis` in place of `REDIS_URL=redis://…`.

What is in the environment, `inspect` commands of container engines, crash reports and child processes show. A
file that only the worker may read is shown by none of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SETTINGS: Final = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL")
S3_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
MAX_BYTES: Final = 4096


class SecretFileError(ValueError):
    """A secret's file cannot be used. The text names the variable, and neither the file nor what is in it."""


def secret_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings that are given by files, by the names of their variables.

    Raises:
        SecretFileError: with one line for each that is wrong; wrong keys of S3 count as well.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    for name in SETTINGS:
        try:
            secret = _secret(name, environment)
            if secret is not None:
                found[name] = secret
        except SecretFileError as error:
            wrong.append(str(error))
    try:
        s3_keys(environment)
    except SecretFileError as error:
        wrong.append(str(error))
    if wrong:
        raise SecretFileError("\n".join(wrong))
    return found


def s3_keys(environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """The access key and the secret key of S3; None where boto3 is to take them from its usual places.

    Raises:
        SecretFileError.
    """
    access, secret = (_secret(name, environment) for name in S3_KEYS)
    if access is None and secret is None:
        return None
    if access is None or secret is None:
        raise SecretFileError("AWS_ACCESS_KEY_ID_FILE and AWS_SECRET_ACCESS_KEY_FILE: one needs the other")
    return access, secret


def _secret(name: str, environment: Mapping[str, str]) -> str | None:
    variable = f"{name}_FILE"
    path = environment.get(variable)
    if not path:
        return None
    if environment.get(name):
        raise SecretFileError(f"{variable}: {name} is set as well, and only one of the two can be meant")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        # Editors and `echo` end a file with a new line.
        text = content.decode().strip()
    except OSError as error:
        raise SecretFileError(
            f"{variable}: the file cannot be read: {os.strerror(error.errno or 0)}"
        ) from None
    except UnicodeDecodeError:
        raise SecretFileError(f"{variable}: the file holds no text") from None
    if not text or len(content) > MAX_BYTES or len(text.split()) != 1:
        raise SecretFileError(f"{variable}: the file must hold one word of at most {MAX_BYTES} bytes")
    return text

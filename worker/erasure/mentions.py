"""Find out which scans a text names: a message, a result of Celery, an event, a dead letter."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote_plus

from worker.keys import SCAN_ID

MAX_DEPTH: Final = 20  # of JSON within JSON
_REPR: Final = re.compile(rf"['\"]scan_id['\"]: ['\"]({SCAN_ID.pattern})['\"]")  # Celery's `kwargsrepr`
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_ESCAPE: Final = re.compile(r"\\u00([0-9a-fA-F]{2})")


def scans_named(text: bytes | str) -> set[str]:
    """Return the scan ids that stand in the fields `scan_id`, `scan_ids` and `subject` of a JSON text.

    JSON and Base64 within the text are read too, as in the body of a Celery message. A text that is not JSON
    names each of its words.

    >>> sorted(scans_named('{"kwargs": {"scan_id": "scan-1"}, "task": "scan"}'))
    ['scan-1']
    """
    try:
        return set(_named(json.loads(text), 0))
    except (ValueError, RecursionError):
        return words_in(text)


def words_in(text: bytes | str) -> set[str]:
    """Return each word of a text that could be a scan id, also where it is escaped or in Base64.

    >>> "scan-1" in words_in('{"key": "scans/scan%2D1/rgb/…')
    True
    """
    plain = text if isinstance(text, str) else text.decode(errors="replace")
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)
    texts = [plain, unquote_plus(plain), *map(_decoded, _BASE64.findall(plain))]
    return {word for each in texts for word in re.findall(r"[A-Za-z0-9_-]+", each)}


def words_in_dead_letter(letter: bytes | str) -> set[str]:
    """Return the words of the entry in a dead letter (`worker.broker.dead_letters`).

    >>> sorted(words_in_dead_letter('{"reason": "it is not JSON", "entry": "scan-1"}'))
    ['scan-1']
    """
    try:
        return words_in(str(json.loads(letter)["entry"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return words_in(letter)


def _named(value: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    match value:
        case dict():
            for name, each in value.items():
                if name in ("scan_id", "subject") and isinstance(each, str):
                    yield each
                elif name == "scan_ids" and isinstance(each, list):
                    yield from (scan_id for scan_id in each if isinstance(scan_id, str))
                yield from _named(each, depth + 1)
        case list():
            for each in value:
                yield from _named(each, depth + 1)
        case str():
            yield from _REPR.findall(value)
            for each in (value, _decoded(value)):
                if each.lstrip().startswith(("{", "[")):
                    try:
                        yield from _named(json.loads(each), depth + 1)
                    except (ValueError, RecursionError):
                        continue


def _decoded(text: str) -> str:
    """Return the text that stands in Base64, as far as it can be read."""
    try:
        return base64.b64decode(text[: len(text) // 4 * 4]).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""

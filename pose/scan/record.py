"""Parse `scan.json`, the record of a scan as a backend writes it. One bad entry costs no other entry.

What is certain is taken as it is meant: numbers as text, `1.0` for 1, upper case, `./rgb/a.jpg`. File names
can contain a person's code, so no message contains a value of the record.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from pose.errors import InvalidManifest
from pose.scan.names import Role, is_safe_path

MANIFEST: Final = "scan.json"
MAX_BYTES: Final = 1024 * 1024
MAX_FILES: Final = 4096
MAX_ORDER: Final = 999_999
MAX_STEP: Final = 999_999_999

# What the `format` of an artefact means, in lower case and without MIME parameters.
_ROLES: Final[dict[str, Role]] = {
    **dict.fromkeys(("rgb", "jpg", "jpeg", "png", "image/jpeg", "image/jpg", "image/pjpeg"), "rgb"),
    **dict.fromkeys(("image/png", "image/x-png"), "rgb"),
    **dict.fromkeys(("depth", "zip", "application/zip"), "depth"),
    **dict.fromkeys(("application/x-zip", "application/x-zip-compressed"), "depth"),
}
_WHOLE: Final = re.compile(r"(\d{1,18})(?:[.,]0{1,2})?", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d*)?", re.ASCII)


@dataclass(frozen=True)
class Artefact:
    """An entry of `artifacts`.

    Attributes:
        order: the frame's number in the scan.
        file: a path inside the scan; there need not be such a file.
        time: seconds since 1970, or of another clock; None if it is unknown.
    """

    order: int
    role: Role
    file: str
    time: float | None


@dataclass(frozen=True)
class BadEntry:
    """An entry of `artifacts` that cannot be used; `order` is None if that is what is wrong."""

    index: int
    order: int | None
    field: str

    def error(self) -> InvalidManifest:
        """Return the error that says what is wrong, and what is expected."""
        field = self.field if self.field in _Entry.model_fields else "artifacts"
        return InvalidManifest(MANIFEST, field, *FIELD_ERRORS[self.field])


@dataclass(frozen=True)
class Record:
    """A `scan.json`: the step, the `version`, which can be anything, and the entries that count.

    Attributes:
        other: the orders of entries that are neither pictures nor depth.
    """

    step: int
    version: Any
    artefacts: tuple[Artefact, ...]
    bad: tuple[BadEntry, ...]
    other: frozenset[int]


def parse_record(data: bytes) -> Record:
    """Parse the bytes of a `scan.json`.

    Raises:
        InvalidManifest: this is not a JSON object with a `type` from 0 to `MAX_STEP` and a list `artifacts`
            of 1 to `MAX_FILES` entries.
    """
    record = _parse_object(data)
    artefacts: list[Artefact] = []
    bad: list[BadEntry] = []
    other: set[int] = set()
    for index, entry in enumerate(record.artifacts):
        if not isinstance(entry, dict):
            bad.append(BadEntry(index, None, "entry"))
            continue
        try:
            found = _Entry.model_validate({**entry, "role": _role(entry.get("format"))})
        except ValidationError as problem:
            field, order = _first_field(problem), _order_of(entry)
            if field != "role":
                bad.append(BadEntry(index, order, field))
            elif order is not None:
                other.add(order)
        else:
            artefacts.append(Artefact(found.order, found.role, found.file, found.timestamp))
    return Record(record.type, record.version, tuple(artefacts), tuple(bad), frozenset(other))


def describe(bad: Iterable[BadEntry]) -> Iterator[str]:
    """Yield a line for each field that is wrong in entries.

    >>> list(describe([BadEntry(4, None, "order"), BadEntry(7, None, "order")]))
    ['scan.json: artifacts[4] and 1 more: order: missing or out of range (expected 0 to 999999)']
    """
    groups: dict[str, list[BadEntry]] = {}
    for entry in bad:
        groups.setdefault(entry.field, []).append(entry)
    for field, entries in groups.items():
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        problem, expected = FIELD_ERRORS[field]
        name = field if field in _Entry.model_fields else "entry"
        yield f"{MANIFEST}: artifacts[{entries[0].index}]{more}: {name}: {problem} (expected {expected})"


def parse_time(value: Any) -> float | None:
    """Return a timestamp in seconds; None if it is not known how it is written.

    A number, or a text with one, is in s, ms, µs or ns since 1970, whichever is between 1973 and 5138. A
    smaller one is in seconds of another clock. Another text is in ISO 8601, in UTC if it has no time zone.

    >>> parse_time("2020-09-13T12:26:40Z"), parse_time("1600000000000"), parse_time(1600000000)
    (1600000000.0, 1600000000.0, 1600000000.0)
    """
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            try:
                time = datetime.fromisoformat(text)
            except ValueError:
                return None
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e20:
        return None
    seconds = float(value)
    while seconds >= 1e11:
        seconds /= 1000
    return seconds


def _whole(value: Any) -> Any:
    """Return the integer that `1.0`, "1" or "1,0" stands for, or else the value, which is refused then."""
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value.strip())):
        return int(match[1])
    return value


def _path(name: str) -> str:
    """Return a file's name as a path inside the scan: "./rgb\\\\a.jpg" is "rgb/a.jpg"."""
    name = re.sub("/+", "/", name.strip().replace("\\", "/"))
    name = "/".join(part for part in name.split("/") if part != ".")
    if not is_safe_path(name):
        raise ValueError("no path inside the scan")
    return name


def _version(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _role(value: Any) -> Role | None:
    return _ROLES.get(value.partition(";")[0].strip().lower()) if isinstance(value, str) else None


_Order = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_ORDER)]
_ORDER: Final[TypeAdapter[int]] = TypeAdapter(_Order, config=ConfigDict(strict=True))


class _Entry(BaseModel):
    """One entry. The first field that is wrong is named, so their order counts."""

    model_config = ConfigDict(strict=True)

    format: str
    role: Role
    order: _Order
    file: Annotated[str, AfterValidator(_path)]
    timestamp: Annotated[float | None, BeforeValidator(parse_time)] = None


class _Object(BaseModel):
    """The record. Its entries are checked one by one."""

    model_config = ConfigDict(strict=True)

    type: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=MAX_STEP)]
    artifacts: Annotated[list[Any], Field(min_length=1, max_length=MAX_FILES)]
    version: Annotated[Any, BeforeValidator(_version)] = None


# What a message says of each field.
FIELD_ERRORS: Final = {
    "type": ("missing, not an integer or out of range", f"the step, 0 to {MAX_STEP}"),
    "artifacts": ("not a list of objects, empty or too long", f"a list of 1 to {MAX_FILES} objects"),
    "format": ("missing or no text", "rgb or depth"),
    "entry": ("not an object", "an object with order, format and file"),
    "order": ("missing or out of range", f"0 to {MAX_ORDER}"),
    "file": ("missing or no path inside the scan", "one such as rgb/first.jpg"),
}


def _parse_object(data: bytes) -> _Object:
    if len(data) > MAX_BYTES:
        raise InvalidManifest(MANIFEST, "size", f"{len(data)} bytes", f"at most {MAX_BYTES}")
    try:
        record = _load(data)
    except (ValueError, RecursionError) as problem:
        where = f", see line {problem.lineno}" if isinstance(problem, json.JSONDecodeError) else ""
        raise InvalidManifest(MANIFEST, "content", f"no JSON{where}", "a JSON object") from None
    if isinstance(record, list) and len(record) == 1:  # as databases export one record
        record = record[0]
    if not isinstance(record, dict):
        raise InvalidManifest(MANIFEST, "content", "no object", "a JSON object")
    try:
        return _Object.model_validate(record)
    except ValidationError as problem:
        field = _first_field(problem)
        raise InvalidManifest(MANIFEST, field, *FIELD_ERRORS[field]) from None


def _load(data: bytes) -> Any:
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        # One name in another encoding costs its entry at most. Python decodes the names of files like this.
        text = data.decode("utf-8-sig", "surrogateescape")
    # `int` refuses thousands of digits, which are out of range everywhere here.
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 100 else math.inf)


def _first_field(problem: ValidationError) -> str:
    return str(problem.errors(include_url=False, include_input=False, include_context=False)[0]["loc"][0])


def _order_of(entry: dict[Any, Any]) -> int | None:
    try:
        return _ORDER.validate_python(entry.get("order"))
    except ValidationError:
        return None

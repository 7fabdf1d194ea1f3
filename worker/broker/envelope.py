"""Checks of an entry of Celery's queue, made before kombu and Celery see it.

Both rely on what their own producers write. Another entry may end the worker, and again at each start, as it
goes back into the queue. To catch their errors is not enough. Tried with 46 malformed entries: a wrong
`timelimit` leaves the worker deaf, some entries stay in Redis and come back for ever, and others fail only in
the process, whose log then repeats what was sent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC
from typing import Annotated, Any, Final, Literal, TypeVar

from celery.utils.time import maybe_iso8601
from kombu.exceptions import ContentDisallowed
from kombu.utils.json import loads
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

MAX_NAME: Final = 255


_Model = TypeVar("_Model", bound=BaseModel)


class InvalidMessage(ValueError):
    """Raised for an entry that is not a message. The text never repeats what was sent."""


def _moment(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        moment = maybe_iso8601(value)  # None for an empty text, which Celery cannot take
        # Beyond these years, Celery's conversion to a time stamp overflows.
        if moment is None or not 1971 <= moment.replace(tzinfo=UTC).year <= 9000:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ValueError("must be a time in ISO 8601") from None
    return value


class _Checked(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _DeliveryInfo(_Checked):
    exchange: str
    routing_key: str | None


class _Properties(_Checked):
    delivery_tag: str
    delivery_info: _DeliveryInfo
    body_encoding: Literal["base64"] | None = None
    priority: Annotated[int, Field(ge=0, le=255)] | None = None
    correlation_id: str | None = None
    reply_to: str | None = None


class _Headers(_Checked):
    # A small message could become a huge one.
    compression: None = None


class _Envelope(_Checked):
    body: str
    headers: _Headers
    properties: _Properties
    content_type: str | None = Field(default=None, alias="content-type")
    content_encoding: str | None = Field(default=None, alias="content-encoding")


_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
_Seconds = Annotated[float, Field(ge=0, le=10**7)]
_Time = Annotated[str | None, AfterValidator(_moment)]


class _Task(_Checked):
    """What Celery's `Request` reads of a task's headers."""

    task: _Name
    id: _Name
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    eta: _Time = None
    expires: _Time = None
    retries: Annotated[int, Field(ge=0, le=10**6)] | None = None
    # A tuple becomes a list in JSON.
    timelimit: Annotated[list[_Seconds | None], Field(min_length=2, max_length=2)] | None = None
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None


class _Arguments(_Checked):
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    embed: dict[str, Any] | None = None


def check_envelope(entry: bytes | str, max_bytes: int | None = None) -> dict[str, Any]:
    """Return the message in an entry of a queue.

    >>> check_envelope('{"scan_id": "a"}')
    Traceback (most recent call last):
        ...
    worker.broker.envelope.InvalidMessage: it is not a Celery message: body: Field required

    Raises:
        InvalidMessage: it lacks something that kombu reads, or it has more than `max_bytes` bytes.
    """
    if max_bytes is not None and len(entry) > max_bytes:
        raise InvalidMessage(f"it has more than {max_bytes} bytes")
    try:
        found = loads(entry)
    # Kombu's JSON also has times, numbers and more, each with errors of its own.
    except Exception:
        raise InvalidMessage("it is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidMessage("it is not an object, as Celery's messages are")
    _check(_Envelope, found)
    if found["properties"].get("body_encoding"):
        try:
            base64.b64decode(found["body"].encode())
        except ValueError:
            raise InvalidMessage("its body is not base64") from None
    return found


def check_task(message: Any) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the task's name, its arguments and its keyword arguments from a message (kombu.Message).

    Raises:
        InvalidMessage: the message is not as Celery needs it.
    """
    try:
        payload = message.payload
    except ContentDisallowed:
        raise InvalidMessage("its body is not JSON, and nothing else is taken") from None
    except Exception:  # each decoder has errors of its own
        raise InvalidMessage("its body cannot be read as JSON") from None
    if isinstance(payload, Mapping):  # protocol 1
        task = _check(_Task, {**payload, **message.headers})
        called = _check(_Arguments, {name: payload[name] for name in ("args", "kwargs") if name in payload})
        return task.task, called.args, called.kwargs
    task = _check(_Task, message.headers)
    if not isinstance(payload, list) or len(payload) != 3:
        raise InvalidMessage("its body is not a list of arguments, keyword arguments and options")
    called = _check(_Arguments, dict(zip(("args", "kwargs", "embed"), payload, strict=True)))
    return task.task, called.args, called.kwargs


_FIELDS: Final = {
    field.alias or name
    for model in (_Envelope, _Properties, _DeliveryInfo, _Headers, _Task, _Arguments)
    for name, field in model.model_fields.items()
}


def _check(model: type[_Model], found: Any) -> _Model:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # Name only fields of these models: other names, and all values, were sent by somebody.
        where = ".".join(part for part in first["loc"] if isinstance(part, str) and part in _FIELDS)
        wrong = first["msg"].removeprefix("Value error, ")
        raise InvalidMessage(f"it is not a Celery message: {where}: {wrong}") from None

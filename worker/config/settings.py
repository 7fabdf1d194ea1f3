"""All that can be configured, from the environment, checked at once.

Nothing is read when this module is imported. `load_settings()` reads the environment once per process; with
nothing set, everything lies in the current folder: scans in `scans/`, results in `results/`, the broker's
files in `.run/`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import click
from celery.app.backends import BACKEND_ALIASES
from kombu.transport import TRANSPORT_ALIASES
from pydantic import AfterValidator, Field, FilePath, ValidationError, ValidationInfo, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from redis.connection import parse_url

from worker.config.secrets import SecretFileError, secret_settings
from worker.config.tls import with_checked_certificate
from worker.config.urls import InvalidStorageUrl, parse_storage_url, url_of_folder

DEVICE: Final = re.compile(r"auto|cpu|cuda(:[0-9]{1,2})?")
REDIS_KEY: Final = re.compile(r"[A-Za-z0-9:._-]{1,200}")
MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MIB: Final = 1024 * 1024


class SettingsError(click.ClickException):
    """Everything that is wrong with the settings, by name. Values are left out: they may hold passwords.

    A ClickException, so that `celery -A worker …` prints it as a message and not as a traceback.
    """


def _place(value: str) -> str:
    try:
        parse_storage_url(value)
    except InvalidStorageUrl as error:
        raise ValueError(str(error)) from None
    return value


def _scheme_of(aliases: frozenset[str], example: str) -> Any:
    def check(value: str) -> str:
        scheme = value.partition("://")[0]
        # `cache+memcached://` and its like name their kind before the plus.
        if "://" not in value or scheme.partition("+")[0] not in aliases:
            raise ValueError(f"must be a URL that Celery knows, such as {example}")
        return value

    return AfterValidator(check)


def _matches(pattern: re.Pattern[str], expected: str) -> Any:
    def check(value: str | None) -> str | None:
        if value is not None and not pattern.fullmatch(value):
            raise ValueError(f"must be {expected}")
        return value

    return AfterValidator(check)


def _endpoint(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError("must be http://host:port or https://host")
    return value


def _weights_place(value: str | None) -> str | None:
    """A place as the others, or as `pose weights` takes them: a folder's path, or a server to pull from."""
    if value is None:
        return None
    if value.startswith("/"):
        value = url_of_folder(Path(value))
    if value.startswith(("http://", "https://")):
        return _endpoint(value)
    if not value.startswith(("file://", "s3://")):
        raise ValueError("must be a folder, or start with file://, s3:// or https://")
    return _place(value)


def _redis(value: str | None) -> str | None:
    try:
        # A broker's URL may name several servers; ours is one. The error's own text holds parts of the URL.
        if value is not None and (";" in value or "://" not in value or not parse_url(value)):
            raise ValueError
    except ValueError:
        raise ValueError("must be redis://host:port/database or rediss://…") from None
    return value


def _redis_of_broker(data: dict[str, Any]) -> str | None:
    broker: str = data["broker_url"]
    return broker if broker.startswith(("redis://", "rediss://")) and ";" not in broker else None


def _certificate_checked(value: str | None, info: ValidationInfo) -> str | None:
    return None if value is None else with_checked_certificate(value, info.data.get("redis_ca_file"))


_REDIS_KEY: Final = _matches(REDIS_KEY, "a Redis key of letters, digits, : . _ and -")
_TLS: Final = AfterValidator(_certificate_checked)
BrokerUrl = Annotated[str, _scheme_of(frozenset(TRANSPORT_ALIASES), "redis://host:6379/0"), _TLS]
BackendUrl = Annotated[
    str, _scheme_of(frozenset(BACKEND_ALIASES), "redis://host:6379/1 or file:///folder"), _TLS
]
Place = Annotated[str, AfterValidator(_place)]


class Settings(BaseSettings):
    """The worker's settings. Each field's alias is the name of its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, validate_default=True, populate_by_name=True, extra="ignore"
    )

    run_dir: Path = Field(
        default_factory=lambda: Path.cwd() / ".run",
        validation_alias="RUN_DIR",
        description="folder of the embedded broker and result store",
    )
    redis_ca_file: FilePath | None = Field(
        default=None,
        validation_alias="REDIS_CA_FILE",
        description="certificates that rediss:// servers are checked against; without, those of the system",
    )
    # These two may hold a password, so they are in no repr.
    broker_url: BrokerUrl = Field(
        default="filesystem://localhost", validation_alias="CELERY_BROKER_URL", repr=False
    )
    result_backend: BackendUrl = Field(
        default_factory=lambda data: f"file://{data['run_dir'].absolute() / 'states'}",
        validation_alias="CELERY_RESULT_BACKEND",
        repr=False,
    )
    redis_url: Annotated[str | None, AfterValidator(_redis), _TLS] = Field(
        default_factory=_redis_of_broker,
        validation_alias="REDIS_URL",
        repr=False,
        description="of events, locks and arrivals; the broker's where that is Redis",
    )
    arrivals_list: Annotated[str | None, _REDIS_KEY] = Field(
        default=None, validation_alias="ARRIVALS_LIST", description="plain JSON arrivals; off where unset"
    )
    arrivals_quiet_s: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        validation_alias="ARRIVALS_QUIET_S",
        description="after the last object of a scan that S3 told of",
    )
    events_stream: Annotated[str, _REDIS_KEY] = Field(default="pose:events", validation_alias="EVENTS_STREAM")
    max_message_bytes: int = Field(
        default=256 * 1024,
        ge=1024,
        validation_alias="MAX_MESSAGE_BYTES",
        description="of one message or arrival",
    )
    s3_endpoint_url: Annotated[str | None, AfterValidator(_endpoint)] = Field(
        default=None, validation_alias="AWS_ENDPOINT_URL_S3", description="of an S3 that is not Amazon's"
    )
    scans_url: Place = Field(
        default_factory=lambda: url_of_folder(Path.cwd() / "scans"), validation_alias="SCANS_URL"
    )
    results_url: Place = Field(
        default_factory=lambda: url_of_folder(Path.cwd() / "results"), validation_alias="RESULTS_URL"
    )
    model: Annotated[str, _matches(MODEL, "the name of an estimator")] = Field(
        default="auto", validation_alias="MODEL"
    )
    weights_url: Annotated[str | None, AfterValidator(_weights_place)] = Field(
        default=None,
        validation_alias="WEIGHTS_URL",
        description="where published weights are; without one, this user's cache",
    )
    detector: Annotated[str, _matches(MODEL, "the name of a detector")] = Field(
        default="fasterrcnn-resnet50-fpn", validation_alias="DETECTOR"
    )
    flip_test: bool = Field(
        default=False, validation_alias="FLIP_TEST", description="a second pass over the mirrored picture"
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, validation_alias="BATCH_SIZE", description="None: the model's own"
    )
    device: Annotated[str, _matches(DEVICE, "auto, cpu, cuda or cuda:N")] = Field(
        default="auto", validation_alias="DEVICE"
    )
    concurrency: int = Field(
        default=1, ge=1, le=256, validation_alias="CONCURRENCY", description="processes; each loads the model"
    )
    torch_threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        validation_alias="TORCH_THREADS",
        description="per process; 0 shares out the cores",
    )
    max_attempts: int = Field(
        default=60, ge=1, le=1000, validation_alias="MAX_ATTEMPTS", description="when storage or network fail"
    )
    retry_base_s: float = Field(
        default=2.0,
        ge=0,
        le=60,
        validation_alias="RETRY_BASE_S",
        description="doubled with each attempt",
    )
    retry_total_s: float = Field(
        default=3600.0,
        ge=0,
        le=7 * 86_400,
        validation_alias="RETRY_TOTAL_S",
        description="after the first failure; then the scan has failed",
    )
    oom_to_cpu: bool = Field(
        default=False,
        validation_alias="OOM_TO_CPU",
        description="where not even one frame fits in the GPU's memory, the CPU does it",
    )
    max_deaths: int = Field(
        default=3,
        ge=1,
        le=100,
        validation_alias="MAX_DEATHS",
        description="processes that a scan may take with it before it is set aside",
    )
    lock_ttl_s: float = Field(
        default=60.0,
        ge=3,
        le=3600,
        validation_alias="LOCK_TTL_S",
        description="after which a scan of a worker that was killed is free for another",
    )
    queue_lease_s: float = Field(
        default=900.0,
        ge=1,
        le=7 * 86_400,
        validation_alias="QUEUE_LEASE_S",
        description="in the queue; after it the scan is sent again",
    )
    reconcile_every_s: float = Field(
        default=60.0,
        ge=1,
        le=86_400,
        validation_alias="RECONCILE_EVERY_S",
        description="how often Celery's beat looks for scans to send again",
    )
    soft_time_limit_s: int = Field(default=120, ge=1, validation_alias="SOFT_TIME_LIMIT_S")
    time_limit_s: int = Field(default=150, ge=2, le=86_400, validation_alias="TIME_LIMIT_S")
    shutdown_grace_s: float = Field(
        default=25.0,
        ge=1,
        le=3600,
        validation_alias="SHUTDOWN_GRACE_S",
        description="from SIGTERM to the end, with the running scans done or handed back",
    )
    max_object_bytes: int = Field(default=64 * MIB, ge=1, validation_alias="MAX_OBJECT_BYTES")
    max_scan_bytes: int = Field(default=256 * MIB, ge=1, validation_alias="MAX_SCAN_BYTES")
    max_scan_files: int = Field(default=1000, ge=1, validation_alias="MAX_SCAN_FILES")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        validation_alias="LOG_FORMAT",
        description="auto: console at a terminal, JSON elsewhere",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", validation_alias="LOG_LEVEL"
    )

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if parse_storage_url(self.scans_url) == parse_storage_url(self.results_url):
            raise ValueError("SCANS_URL and RESULTS_URL must be two places: results would be read as scans")
        if self.arrivals_list and not self.redis_url:
            raise ValueError("ARRIVALS_LIST needs a Redis: set REDIS_URL")
        if self.arrivals_list in ("celery", self.events_stream):
            raise ValueError("ARRIVALS_LIST must not be Celery's own list, nor EVENTS_STREAM")
        if self.soft_time_limit_s >= self.time_limit_s:
            raise ValueError("SOFT_TIME_LIMIT_S must be below TIME_LIMIT_S")
        return self


@functools.cache
def load_settings() -> Settings:
    """The settings of this process, read from the environment at the first call.

    Raises:
        SettingsError: with one line for each thing that is wrong.
    """
    return read_settings()


def read_settings(**values: Any) -> Settings:
    """Settings from the environment, those given here before it.

    Raises:
        SettingsError: with one line for each thing that is wrong.
    """
    try:
        return Settings(**{**secret_settings(), **values})
    except SecretFileError as error:
        lines = [f"  {line}" for line in str(error).splitlines()]
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        # A default made from a field that is wrong is not wrong itself.
        lines = sorted({_line(dict(item)) for item in wrong if item["type"] != "default_factory_not_called"})
    raise SettingsError("the settings cannot be used:\n" + "\n".join(lines))


def _line(item: dict[str, Any]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in item["loc"])
    return f"  {where}: {message}" if where else f"  {message}"

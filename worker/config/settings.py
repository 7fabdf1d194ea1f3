"""The worker's settings: read from environment variables and checked together.

Importing this module reads nothing. `load_settings()` reads the environment once per process. If no variable
is set, everything is in the current folder: scans in `scans/`, results in `results/`, the queue in `.run/`.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import click
from celery.app.backends import BACKEND_ALIASES
from kombu.transport import TRANSPORT_ALIASES
from pydantic import (
    AfterValidator,
    DirectoryPath,
    Field,
    FilePath,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.config.logs import get_logger, setup_logging
from worker.config.redis_urls import (
    OF_THIS_MACHINE,
    check_backend_url,
    check_broker_url,
    check_redis_url,
    is_sentinel,
    redis_of_broker,
)
from worker.config.secrets import SecretFileError, secret_settings
from worker.config.tls import with_checked_certificate
from worker.config.urls import parse_storage_url, url_of_folder
from worker.config.variables import misspelt_variables

DEVICE: Final = re.compile(r"auto|cpu|cuda(:[0-9]{1,2})?")
QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
REDIS_KEY: Final = re.compile(r"[A-Za-z0-9:._-]{1,200}")
MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MIB: Final = 1024 * 1024
DAY_S: Final = 86_400


class SettingsError(click.ClickException):
    """All errors in the settings, one line each. The text holds no values, because they may hold passwords.

    It is a ClickException so that `celery -A worker …` prints a message and not a traceback.
    """

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the errors. Click calls this."""
        if os.environ.get("LOG_FORMAT") == "json":  # which may not be read yet
            setup_logging("json")
            get_logger(__name__).critical("settings_unusable", reason=self.message)
        else:
            super().show(file)


def _check_storage_url(value: str) -> str:
    parse_storage_url(value)
    return value


def _check_endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise ValueError("must be http://host:port or https://host")
    return value


def _check_weights_url(value: str) -> str:
    """Accept what `pose weights` accepts: a storage URL, the path of a folder, or a server to pull from."""
    if value.startswith("/"):
        return url_of_folder(Path(value))
    if value.startswith(("http://", "https://")):
        return _check_endpoint(value)
    if not value.startswith(("file://", "s3://")):
        raise ValueError("must be a folder, or start with file://, s3:// or https://")
    return _check_storage_url(value)


def _check_certificates(value: str, info: ValidationInfo) -> str:
    return with_checked_certificate(value, info.data.get("redis_ca_file"))


def _scheme_of(aliases: frozenset[str], example: str) -> Any:
    def check(value: str) -> str:
        scheme = value.partition("://")[0]
        # In `cache+memcached://` and similar URLs, the alias stands before the plus.
        if "://" not in value or scheme.partition("+")[0] not in aliases:
            raise ValueError(f"must be a URL that Celery knows, such as {example}")
        return value

    return AfterValidator(check)


def _matches(pattern: re.Pattern[str], expected: str) -> Any:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"must be {expected}")
        return value

    return AfterValidator(check)


_BROKERS: Final = _scheme_of(frozenset(TRANSPORT_ALIASES), "redis://host:6379/0")
_BACKENDS: Final = _scheme_of(frozenset(BACKEND_ALIASES), "redis://host:6379/1 or file:///folder")
_TLS: Final = AfterValidator(_check_certificates)


def _check_xor_key(value: str) -> str:
    from pose.scan.scrambling import parse_xor_key  # it imports numpy

    parse_xor_key(value)
    return value


BrokerUrl = Annotated[str, _BROKERS, AfterValidator(check_broker_url), _TLS]
BackendUrl = Annotated[str, _BACKENDS, AfterValidator(check_backend_url), _TLS]
RedisUrl = Annotated[str, AfterValidator(check_redis_url), _TLS]
QueueName = Annotated[str, _matches(QUEUE, "the name of a queue: 1 to 100 letters, digits, _ and -")]
MasterName = Annotated[str, _matches(REDIS_KEY, "the name of a master: letters, digits, : . _ and -")]
RedisKey = Annotated[str, _matches(REDIS_KEY, "a Redis key of letters, digits, : . _ and -")]
StorageUrl = Annotated[str, AfterValidator(_check_storage_url)]
WeightsUrl = Annotated[str, AfterValidator(_check_weights_url)]
XorKey = Annotated[str, AfterValidator(_check_xor_key)]
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
Estimator = Annotated[str, _matches(MODEL, "the name of an estimator")]
Detector = Annotated[str, _matches(MODEL, "the name of a detector")]
Device = Annotated[str, _matches(DEVICE, "auto, cpu, cuda or cuda:N")]


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _default_backend(data: dict[str, Any]) -> str:
    """Return where all who use the broker can read results: in Redis, unless all is on this machine."""
    if data["redis_url"] is not None and _scheme(data["broker_url"]) not in OF_THIS_MACHINE:
        return str(data["redis_url"])
    return f"file://{data['run_dir'].absolute() / 'states'}"


class Settings(BaseSettings):
    """The worker's settings. `docs/settings.md` describes each of them.

    The environment variable of a setting is its name in capital letters, or its `validation_alias`.
    """

    model_config = SettingsConfigDict(
        alias_generator=str.upper,
        populate_by_name=True,
        frozen=True,
        env_ignore_empty=True,
        validate_default=True,
        extra="ignore",
    )

    run_dir: Path = Field(default_factory=lambda: Path.cwd() / ".run")
    redis_ca_file: FilePath | None = None  # for rediss:// servers; None: the system's certificates

    # The next three may hold a password: keep them out of the repr.
    broker_url: BrokerUrl = Field(
        default="filesystem://localhost", validation_alias="CELERY_BROKER_URL", repr=False
    )
    redis_url: RedisUrl | None = Field(
        default_factory=lambda data: redis_of_broker(data["broker_url"]), repr=False
    )
    result_backend: BackendUrl = Field(
        default_factory=_default_backend, validation_alias="CELERY_RESULT_BACKEND", repr=False
    )
    redis_master_name: MasterName | None = None  # of the master that sentinels watch
    queue: QueueName = "celery"  # Celery's name of the queue that scans wait in

    arrivals_list: RedisKey | None = None  # the Redis list of the inbox; None: no inbox
    arrivals_quiet_s: float = Field(default=10.0, ge=0, le=3600)
    events_stream: RedisKey = "pose:events"
    max_message_bytes: int = Field(default=256 * 1024, ge=1024)

    s3_endpoint_url: Endpoint | None = Field(default=None, validation_alias="AWS_ENDPOINT_URL_S3")
    scans_url: StorageUrl = Field(default_factory=lambda: url_of_folder(Path.cwd() / "scans"))
    scans_xor_key: XorKey | None = Field(default=None, repr=False)  # in hex; undoes scrambled artefacts
    results_url: StorageUrl = Field(default_factory=lambda: url_of_folder(Path.cwd() / "results"))
    max_object_bytes: int = Field(default=64 * MIB, ge=1)
    max_scan_bytes: int = Field(default=256 * MIB, ge=1)
    max_scan_files: int = Field(default=1000, ge=1)
    incomplete_s: float = Field(default=600.0, ge=0, le=DAY_S)  # a scan waits so long for missing files

    model: Estimator = "auto"
    weights_url: WeightsUrl | None = None  # None: the cache of the current user
    detector: Detector = "fasterrcnn-resnet50-fpn"
    detect: Literal["every", "sparse", "depth"] = "every"  # frames that the detector sees
    face_detector: Literal["auto", "yunet", "haar"] = "auto"
    limits: Literal["all", "production"] = "all"  # production: frames that break a limit do not count
    report: bool = False  # store a page beside each result
    report_language: str = "en"
    report_catalogues: DirectoryPath | None = None  # of the pages' texts; None: English only
    flip_test: bool = False  # run a second pass over the mirrored picture
    batch_size: int | None = Field(default=None, ge=1, le=4096)  # None: the model's own
    device: Device = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"  # what runs the networks
    precision: Literal["auto", "fp32", "fp16"] = "auto"  # in which a GPU runs them
    concurrency: int = Field(default=1, ge=1, le=256)  # processes; each loads the model
    torch_threads: int = Field(default=0, ge=0, le=1024)  # per process; 0: share out the cores
    oom_to_cpu: bool = False  # use the CPU if a single frame does not fit into the GPU's memory

    max_attempts: int = Field(default=60, ge=1, le=1000)
    retry_base_s: float = Field(default=2.0, ge=0, le=60)  # doubled with each attempt
    retry_total_s: float = Field(default=3600.0, ge=0, le=7 * DAY_S)  # counted from the first failure
    max_deaths: int = Field(default=3, ge=1, le=100)  # crashes after which a scan is quarantined
    lock_ttl_s: float = Field(default=60.0, ge=3, le=3600)
    queue_lease_s: float = Field(default=900.0, ge=1, le=7 * DAY_S)
    retention_days: float | None = Field(default=None, gt=0)  # None: results are kept for ever
    reconcile_every_s: float = Field(default=60.0, ge=1, le=DAY_S)
    soft_time_limit_s: int = Field(default=120, ge=1)
    time_limit_s: int = Field(default=150, ge=2, le=DAY_S)
    shutdown_grace_s: float = Field(default=25.0, ge=1, le=3600)

    metrics_port: int | None = Field(default=None, ge=1, le=65535)  # of beat and workers; None: no metrics

    log_format: Literal["auto", "json", "console"] = "auto"  # auto: console at a terminal, else JSON
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if parse_storage_url(self.scans_url) == parse_storage_url(self.results_url):
            raise ValueError("SCANS_URL and RESULTS_URL must differ: results would be read as scans")
        if self.arrivals_list and not self.redis_url:
            raise ValueError("ARRIVALS_LIST needs a Redis: set REDIS_URL")
        if self.arrivals_list in (self.queue, "celery", self.events_stream):
            raise ValueError("ARRIVALS_LIST must not be Celery's own list (QUEUE) or EVENTS_STREAM")
        if self.redis_url is None and _scheme(self.broker_url) not in OF_THIS_MACHINE:
            raise ValueError(
                "REDIS_URL must be set: CELERY_BROKER_URL is not one Redis, and all machines need the same"
                " locks and events"
            )
        self._check_sentinels()
        self._check_report()
        if self.soft_time_limit_s >= self.time_limit_s:
            raise ValueError("SOFT_TIME_LIMIT_S must be below TIME_LIMIT_S")
        return self

    def _check_report(self) -> None:
        if not self.report:
            return
        from pose.report.texts import load_texts  # only who wants pages needs pose to read the settings

        try:
            load_texts(self.report_language, self.report_catalogues)
        except ValueError as error:
            raise ValueError(f"REPORT_LANGUAGE, REPORT_CATALOGUES: {error}") from None

    def _check_sentinels(self) -> None:
        if not any(map(is_sentinel, (self.broker_url, self.result_backend, self.redis_url or ""))):
            return
        if self.redis_master_name is None:
            raise ValueError("REDIS_MASTER_NAME must be set with sentinel://: the name of the master")
        if self.redis_ca_file is not None:
            raise ValueError("REDIS_CA_FILE has no effect with sentinel://: connections are not encrypted")


@functools.cache
def load_settings() -> Settings:
    """Return the settings of this process. Only the first call reads the environment.

    Raises:
        SettingsError: some settings are wrong; one line for each.
    """
    return read_settings()


def read_settings(**values: Any) -> Settings:
    """Read the settings from the environment. `values` take precedence over it.

    Raises:
        SettingsError: some settings are wrong; one line for each.
    """
    try:
        return Settings(**{**secret_settings(), **values})
    except SecretFileError as error:
        lines = [f"  {line}" for line in str(error).splitlines()]
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # Leave out defaults that were not computed because another setting is wrong.
        lines = sorted({_line(dict(item)) for item in errors if item["type"] != "default_factory_not_called"})
    raise SettingsError("the settings cannot be used:\n" + "\n".join(lines))


def misspelt_settings() -> list[tuple[str, str]]:
    """Return the variables of this process that look like settings and are none, and what they may mean."""
    return list(misspelt_variables(str(field.validation_alias) for field in Settings.model_fields.values()))


def _line(item: dict[str, Any]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in item["loc"])
    return f"  {where}: {message}" if where else f"  {message}"

"""`status.json`: what became of a scan so far. It is the truth; events and task states tell of changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.logs import get_logger
from worker.messages import SCAN_ID, status_key
from worker.storage import ObjectMissing, ScanTooLarge, Storage, StorageError

log = get_logger(__name__)

MAX_BYTES: Final = 64 * 1024
PROGRESS_EVERY: Final = timedelta(seconds=0.5)


class Status(StrEnum):
    """Where a scan stands. `completed` and `failed` are final."""

    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        return self in (Status.COMPLETED, Status.FAILED)


class Stage(StrEnum):
    """What is being done to a scan in progress, in this order."""

    FETCH = "fetch"
    ANALYSE = "analyse"
    PUBLISH = "publish"


class ScanStatus(BaseModel):
    """The content of `status.json`. Times are UTC; one that has not come yet is null."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    schema_: Literal["scan-status/1"] = Field(default="scan-status/1", alias="schema")
    scan_id: str = Field(pattern=SCAN_ID.pattern)
    status: Status
    stage: Stage | None = None
    frames_done: int = 0
    frames: int | None = Field(default=None, description="how many the scan has, once that is known")
    reason: str | None = Field(default=None, description="of a failure, or of another attempt")
    attempt: int = Field(default=0, description="0 until a worker takes it")
    deaths: int = Field(default=0, description="processes that ended without a word while they worked on it")
    force: bool = Field(default=False, description="analysed anew though it was done")
    task_id: str | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = Field(default=None, description="of this attempt")
    updated_at: datetime
    lease_until: datetime | None = Field(
        default=None, description="until then somebody answers for it, and after that it is sent again"
    )
    finished_at: datetime | None = None


def read_status(storage: Storage, scan_id: str) -> ScanStatus | None:
    """The status of a scan; None where there is none, or one that cannot be read.

    Raises:
        StorageUnavailable.
    """
    try:
        return ScanStatus.model_validate_json(storage.read(status_key(scan_id), MAX_BYTES))
    except (ObjectMissing, ScanTooLarge, ValidationError):
        return None


def write_status(storage: Storage, status: ScanStatus) -> None:
    """Store a status.

    Raises:
        StorageUnavailable.
    """
    data = status.model_dump_json(indent=2).encode()
    storage.write(status_key(status.scan_id), data, "application/json")


def now() -> datetime:
    return datetime.now(UTC)


class StatusRecord:
    """Keeps one scan's `status.json` up to date during one attempt.

    What must be written is: that it started, so that a storage which is away is noticed before the work, and
    that it is completed. The rest is left out when storage is away: the next write says it all.
    """

    def __init__(
        self,
        storage: Storage,
        scan_id: str,
        task_id: str | None,
        attempt: int,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._written: datetime | None = None
        self._status = ScanStatus(
            scan_id=scan_id, status=Status.QUEUED, attempt=attempt, task_id=task_id, updated_at=clock()
        )

    def started(self) -> None:
        """Raises: StorageUnavailable."""
        earlier = read_status(self._storage, self._status.scan_id)
        queued_at = earlier.queued_at if earlier else None
        self._write(status=Status.STARTED, queued_at=queued_at, started_at=self._clock())

    def progress(self, stage: Stage, frames_done: int, frames: int | None) -> None:
        """Note a step; written at once for a new stage, and every half second within one."""
        new_stage = stage is not self._status.stage
        due = self._written is None or self._clock() - self._written >= PROGRESS_EVERY
        self._change(status=Status.PROGRESS, stage=stage, frames_done=frames_done, frames=frames)
        if new_stage or due:
            self._try_to_write()

    def retrying(self, reason: str) -> None:
        """Note that the scan is back in the queue, and why."""
        self._change(status=Status.QUEUED, stage=None, frames_done=0, reason=reason)
        self._try_to_write()

    def completed(self) -> None:
        """Raises: StorageUnavailable."""
        frames = self._status.frames
        done = self._status.frames_done if frames is None else frames
        self._write(status=Status.COMPLETED, stage=None, frames_done=done, finished_at=self._clock())

    def failed(self, reason: str) -> None:
        """Note that there will be no result, and why."""
        self._change(status=Status.FAILED, reason=reason, finished_at=self._clock())
        self._try_to_write()

    def _change(self, **changes: object) -> None:
        self._status = self._status.model_copy(update={**changes, "updated_at": self._clock()})

    def _write(self, **changes: object) -> None:
        self._change(**changes)
        write_status(self._storage, self._status)
        self._written = self._clock()

    def _try_to_write(self) -> None:
        try:
            self._write()
        except StorageError as error:
            log.warning("status_not_written", status=self._status.status, reason=str(error))

"""`status.json`: what became of a scan so far. It is the truth; events and task states tell of changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.config.logs import get_logger
from worker.keys import ScanId, parse_scan_id, result_key, status_key
from worker.storage.base import ObjectMissing, ScanTooLarge, Storage, StorageError

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
    """The content of `status.json`. Times are UTC; one that has not come yet is null.

    A time without its zone is refused: it could not be compared with the clock.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    schema_: Literal["scan-status/1"] = Field(default="scan-status/1", alias="schema")
    scan_id: Annotated[ScanId, AfterValidator(parse_scan_id)]
    status: Status
    stage: Stage | None = None
    frames_done: int = 0
    frames: int | None = Field(default=None, description="how many the scan has, once that is known")
    reason: str | None = Field(default=None, description="of a failure, or of another attempt")
    attempt: int = Field(default=0, description="0 until a worker takes it")
    deaths: int = Field(default=0, description="processes that ended without a word while they worked on it")
    force: bool = Field(default=False, description="analysed anew though it was done")
    task_id: str | None = None
    queued_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = Field(default=None, description="of this attempt")
    updated_at: AwareDatetime
    lease_until: AwareDatetime | None = Field(
        default=None, description="until then somebody answers for it, and after that it is sent again"
    )
    finished_at: AwareDatetime | None = None


def read_status(storage: Storage, scan_id: ScanId) -> ScanStatus | None:
    """The status of a scan; None where there is none, or one that cannot be read.

    Raises:
        StorageUnavailable.
    """
    try:
        status = ScanStatus.model_validate_json(storage.read(status_key(scan_id), MAX_BYTES))
    except (ObjectMissing, ScanTooLarge, ValidationError):
        return None
    return status if status.scan_id == scan_id else None


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

    A scan that is completed stays so until it is known that there is something to do: most messages for such
    a scan say what was said before. Until then the record is `held` and writes nothing.

    Args:
        storage: of results.
        scan_id, task_id, attempt, force: as they are to stand in it.
        lease_s: seconds in which an attempt comes to an end, or is ended.
        clock: the time, UTC.
    """

    def __init__(
        self,
        storage: Storage,
        scan_id: ScanId,
        task_id: str | None,
        attempt: int,
        *,
        lease_s: float,
        force: bool = False,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._lease_s = lease_s
        self._written: datetime | None = None
        self._status = ScanStatus(
            scan_id=scan_id,
            status=Status.QUEUED,
            attempt=attempt,
            task_id=task_id,
            force=force,
            updated_at=clock(),
        )
        self.held = False

    def look(self) -> ScanStatus | None:
        """The status that the scan has so far. Raises: StorageUnavailable."""
        earlier = read_status(self._storage, self._status.scan_id)
        if earlier is not None and not earlier.status.final:
            self._change(queued_at=earlier.queued_at)
        return earlier

    @property
    def status(self) -> ScanStatus:
        """As it is, written or not."""
        return self._status

    def received(self) -> None:
        """Note that somebody was told of its arrival; written with what comes next."""
        self._change(queued_at=self._clock())

    def started(self, deaths: int = 0, *, held: bool = False) -> None:
        """Note that the work begins, or, `held`, that it may. Raises: StorageUnavailable."""
        self._change(status=Status.STARTED, deaths=deaths, started_at=self._clock())
        self.held = held
        if not held:
            self._write(self._lease_s)

    def progress(self, stage: Stage, frames_done: int, frames: int | None) -> bool:
        """Note a step; written at once for a new stage, and every half second within one. Gives whether."""
        new_stage = stage is not self._status.stage
        due = self._written is None or self._clock() - self._written >= PROGRESS_EVERY
        self._change(status=Status.PROGRESS, stage=stage, frames_done=frames_done, frames=frames)
        if stage is not Stage.FETCH:  # what was fetched is new, or it would have been answered
            self.held = False
        if self.held or not (new_stage or due):
            return False
        self._try_to_write(self._lease_s)
        return True

    def retrying(self, reason: str, lease_s: float) -> None:
        """Note that the scan is back in the queue, why, and in how many seconds it has been taken again."""
        self._change(status=Status.QUEUED, stage=None, frames_done=0, reason=reason)
        if not self.held:
            self._try_to_write(lease_s)

    def completed(self) -> None:
        """Raises: StorageUnavailable."""
        frames = self._status.frames
        done = self._status.frames_done if frames is None else frames
        self._change(status=Status.COMPLETED, stage=None, frames_done=done, finished_at=self._clock())
        if not self.held:
            self._write()

    def failed(self, reason: str) -> bool:
        """Note that there will be no result, and why. Gives whether that is written.

        An earlier result is taken away before: it belongs to what the scan was then.
        """
        self._change(status=Status.FAILED, reason=reason, finished_at=self._clock())
        try:
            self._storage.delete(result_key(self._status.scan_id))
        except StorageError as error:
            log.warning("status_not_written", status=self._status.status, reason=str(error))
            return False
        return self._try_to_write()

    def _change(self, **changes: object) -> None:
        self._status = self._status.model_copy(update={**changes, "updated_at": self._clock()})

    def _write(self, lease_s: float | None = None) -> None:
        until = None if lease_s is None else self._clock() + timedelta(seconds=lease_s)
        self._change(lease_until=until)
        write_status(self._storage, self._status)
        self._written = self._clock()

    def _try_to_write(self, lease_s: float | None = None) -> bool:
        try:
            self._write(lease_s)
        except StorageError as error:
            log.warning("status_not_written", status=self._status.status, reason=str(error))
            return False
        return True

"""`status.json`: the state of a scan. It is the truth; events and task states only say that it changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from worker.config.logs import get_logger
from worker.keys import ScanId, parse_scan_id, status_key
from worker.ledger.base import Ledger
from worker.scans.transfer import remove_results
from worker.storage.base import ObjectMissing, ScanTooLarge, Storage, StorageError

log = get_logger(__name__)

MAX_BYTES: Final = 64 * 1024
PROGRESS_EVERY: Final = timedelta(seconds=1)


class Status(StrEnum):
    """The state of a scan. `completed`, `failed` and `cancelled` are final."""

    QUEUED = "queued"
    STARTED = "started"
    PROGRESS = "progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class Stage(StrEnum):
    """The steps of a scan in progress, in their order."""

    FETCH = "fetch"
    ANALYSE = "analyse"
    PUBLISH = "publish"


class ScanStatus(BaseModel):
    """The content of `status.json`. Times are UTC; a time that has not come yet is null.

    A time without a time zone is not valid: it cannot be compared with the clock.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    schema_: Literal["scan-status/1"] = Field(default="scan-status/1", alias="schema")
    scan_id: Annotated[ScanId, AfterValidator(parse_scan_id)]
    status: Status
    stage: Stage | None = None
    frames_done: int = 0
    frames: int | None = Field(default=None, description="number of frames, once it is known")
    reason: str | None = Field(default=None, description="why the scan failed, or is tried again")
    attempt: int = Field(default=0, description="0 until a worker takes the scan")
    deaths: int = Field(default=0, description="processes that crashed while they worked on the scan")
    force: bool = Field(default=False, description="analysed again although it was completed")
    task_id: str | None = None
    queued_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = Field(default=None, description="start of this attempt")
    updated_at: AwareDatetime
    lease_until: AwareDatetime | None = Field(
        default=None, description="after this time the scan is overdue and is sent again"
    )
    finished_at: AwareDatetime | None = None
    files: str | None = Field(
        default=None, description="digest of the list of files that was analysed: names, sizes and times"
    )
    supersedes: str | None = Field(
        default=None, description="id of the final event of an earlier analysis of this scan"
    )


def read_status(storage: Storage, scan_id: ScanId) -> ScanStatus | None:
    """Return the status of a scan, or None if there is none or it cannot be read.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    try:
        status = ScanStatus.model_validate_json(storage.read(status_key(scan_id), MAX_BYTES))
    except (ObjectMissing, ScanTooLarge, ValidationError):
        return None
    return status if status.scan_id == scan_id else None


def write_status(storage: Storage, status: ScanStatus) -> None:
    """Store a status.

    Raises:
        StorageUnavailable: The storage of results cannot be used.
    """
    data = status.model_dump_json(indent=2).encode()
    storage.write(status_key(status.scan_id), data, "application/json")


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def time_of(ledger: Ledger) -> datetime:
    """Return the time by the clock of a ledger, in UTC. Times of a status are compared with this clock."""
    return datetime.fromtimestamp(ledger.now(), UTC)


class StatusRecord:
    """Keeps the `status.json` of one scan up to date during one attempt.

    `started` and `completed` must be written: the first shows before the work that storage can be used. Both
    raise StorageUnavailable, as `read_earlier` does. The other states are skipped while storage is away; the
    next write includes them.

    Most messages for a completed scan find nothing to do, and its status stays as it is. So `started` can
    defer all writes until the analysis starts.

    Args:
        storage: Of results.
        scan_id: The scan.
        task_id: Celery's id of the task.
        attempt: Number of the attempt, from 1.
        force: The scan is analysed again although it is completed.
        lease_s: Seconds after which an attempt has ended in one way or another.
        clock: Returns the time, in UTC.

    Attributes:
        storage: Of results.
        deferred: Nothing is written yet.
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
        self.storage = storage
        self._clock = clock
        self._lease_s = lease_s
        self._told: datetime | None = None
        self._told_stage: Stage | None = None
        self._half_written = False
        self._earlier: ScanStatus | None = None
        self._status = ScanStatus(
            scan_id=scan_id,
            status=Status.QUEUED,
            attempt=attempt,
            task_id=task_id,
            force=force,
            updated_at=clock(),
        )
        self.deferred = False

    def read_earlier(self) -> ScanStatus | None:
        """Return the stored status of the scan, or None if there is none."""
        earlier = self._earlier = read_status(self.storage, self._status.scan_id)
        if earlier is not None and not earlier.status.final:
            self._change(queued_at=earlier.queued_at, supersedes=earlier.supersedes)
        return earlier

    @property
    def status(self) -> ScanStatus:
        """The current status, whether it is written or not."""
        return self._status

    def received(self) -> None:
        """Note that the `received` event was sent. The next write includes it."""
        self._change(queued_at=self._clock())

    def supersede(self, event_id: str) -> None:
        """Note the final event of the earlier analysis. The next write includes it."""
        self._change(supersedes=event_id)

    def listed(self, files: str) -> None:
        """Note which files are analysed (`worker.scans.completeness.digest_of`)."""
        self._change(files=files)

    def keep_earlier(self) -> None:
        """Leave the earlier status, but for the files: they were looked at, and changed nothing."""
        earlier, files = self._earlier, self._status.files
        if earlier is not None and files is not None and earlier.files != files:
            try:
                write_status(self.storage, earlier.model_copy(update={"files": files}))
            except StorageError as error:
                log.warning("status_not_written", status=earlier.status, reason=str(error))

    def started(self, crashes: int = 0, *, deferred: bool = False) -> None:
        """Write that the attempt started, or defer all writes until the analysis starts."""
        self._change(status=Status.STARTED, stage=Stage.FETCH, deaths=crashes, started_at=self._clock())
        self.deferred = deferred
        if not deferred:
            self._write(self._lease_s)

    def progress(self, stage: Stage, frames_done: int, frames: int | None) -> bool:
        """Note a step of progress. Write it for a new stage, and once about in the middle of the analysis.

        Each write is a request to S3. Events, which cost less, tell the other steps.

        Returns:
            Whether the step is to be told: at once for a new stage, every second within one.
        """
        new_stage = stage is not self._told_stage
        due = self._told is None or self._clock() - self._told >= PROGRESS_EVERY
        self._change(status=Status.PROGRESS, stage=stage, frames_done=frames_done, frames=frames)
        if stage is not Stage.FETCH:  # the files are new, or the work would have ended after the fetch
            self.deferred = False
        if self.deferred or not (new_stage or due):
            return False
        self._told, self._told_stage = self._clock(), stage
        # `started` has said already that the files are fetched.
        half_done = not self._half_written and frames is not None and 2 * frames_done >= frames
        if stage is not Stage.FETCH and (new_stage or half_done):
            self._half_written = half_done or self._half_written
            self._try_to_write(self._lease_s)
        return True

    def retrying(self, reason: str, lease_s: float) -> None:
        """Write that the scan is back in the queue, why, and after how many seconds it is overdue."""
        self._change(status=Status.QUEUED, stage=None, frames_done=0, reason=reason)
        if not self.deferred:
            self._try_to_write(lease_s)

    def completed(self) -> None:
        """Write that the scan is completed."""
        frames = self._status.frames
        done = self._status.frames_done if frames is None else frames
        self._change(status=Status.COMPLETED, stage=None, frames_done=done, finished_at=self._clock())
        if not self.deferred:
            self._write()

    def failed(self, reason: str) -> bool:
        """Delete an earlier result, or a part of one, and write that the scan failed.

        Returns:
            Whether both were done.
        """
        self._change(status=Status.FAILED, reason=reason, finished_at=self._clock())
        try:
            remove_results(self.storage, self._status.scan_id)
        except StorageError as error:
            log.warning("status_not_written", status=self._status.status, reason=str(error))
            return False
        return self._try_to_write()

    def _change(self, **changes: object) -> None:
        self._status = self._status.model_copy(update={**changes, "updated_at": self._clock()})

    def _write(self, lease_s: float | None = None) -> None:
        until = None if lease_s is None else self._clock() + timedelta(seconds=lease_s)
        self._change(lease_until=until)
        write_status(self.storage, self._status)

    def _try_to_write(self, lease_s: float | None = None) -> bool:
        try:
            self._write(lease_s)
        except StorageError as error:
            log.warning("status_not_written", status=self._status.status, reason=str(error))
            return False
        return True

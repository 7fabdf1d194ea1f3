"""Results as files: OBJ for 3D viewers, CSV for tables, and a scan's whole folder of results."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pose import keypoints as kp
from pose.lifting.skeleton import Skeleton
from pose.results import FrameResult, PersonResult, ScanResult

RESULT: Final = "result.json"
OLDER_RESULT: Final = "result.older.json"
_DRAFT: Final = ".draft-"  # start of the name of the folder in which results are written first
BLURRED, OVERLAY, SKELETON, POSE = "blurred.jpg", "overlay.jpg", "skeleton.obj", "pose.json"
ARTEFACTS: Final = (BLURRED, OVERLAY, SKELETON, POSE)


def artefact_name(order: int, name: str) -> str:
    """Name of a frame's artefact, relative to its scan's results: "frames/0/blurred.jpg"."""
    if name not in ARTEFACTS:
        raise ValueError(f"no artefact is called {name!r}")
    return f"frames/{order:d}/{name}"


def skeleton_obj(skeleton: Skeleton) -> str:
    """A skeleton as Wavefront OBJ: all 17 joints as vertices, bones between those that were observed.

    Each vertex has its score and its distance to the depth used as a comment: `v x y z  # score distance_px`.

    Raises:
        ValueError: its joints are not known.
    """
    if not skeleton.measured:
        raise ValueError("a skeleton without any observed joint has no places to write")
    rows = np.column_stack((skeleton.joints, skeleton.scores, skeleton.distance_px)).tolist()
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}  # {score:.4f} {away:.2f}" for x, y, z, score, away in rows]
    lines += [f"l {a + 1} {b + 1}" for a, b in kp.LIMBS if skeleton.observed[a] and skeleton.observed[b]]
    return "\n".join(lines) + "\n"


_SCAN_COLUMNS: Final = ("scan_id", "model", "model_version", "scan_posture", "scan_body_length_m")
_FRAME_COLUMNS: Final = (
    "order", "status", "reason", "floor_height_m", "camera_angle_deg", "missing_depth",
    "child_distance_m", "quality", "picture", "time_ms",
)  # fmt: skip
_BOX_COLUMNS: Final = ("box_x0", "box_y0", "box_x1", "box_y1")
_PERSON_COLUMNS: Final = ("person", *_BOX_COLUMNS, "box_score", "score", "posture", "body_length_m")
_KEYPOINT_COLUMNS: Final = ("u", "v", "score")
_JOINT_COLUMNS: Final = ("x", "y", "z", "distance_px", "observed")


def csv_columns() -> list[str]:
    """Names of the CSV's columns, in order."""
    of_points = [f"{name}_{what}" for name in kp.NAMES for what in (*_KEYPOINT_COLUMNS, *_JOINT_COLUMNS)]
    return [*_SCAN_COLUMNS, *_FRAME_COLUMNS, *_PERSON_COLUMNS, *of_points]


@dataclass(frozen=True)
class FailedScan:
    """A scan without a result, for the table: what it is called there, and why it failed."""

    scan_id: str
    reason: str


def csv_rows(result: ScanResult | FailedScan) -> Iterator[dict[str, Any]]:
    """One row a person and frame; one without a person for a frame where nobody was found.

    A failed scan has one row: `status` is "failed", and `reason` says why.
    """
    if isinstance(result, FailedScan):
        yield {"scan_id": result.scan_id, "status": "failed", "reason": result.reason}
        return
    for frame in result.frames:
        people: tuple[PersonResult | None, ...] = frame.people or (None,)
        for number, person in enumerate(people):
            yield _csv_row(result, frame, number, person)


def write_csv(file: IO[str], results: Iterable[ScanResult | FailedScan], *, header: bool = True) -> None:
    """Write results to an open text file (`newline=""`), after a header unless that is there already."""
    writer = csv.DictWriter(file, csv_columns(), restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for result in results:
        writer.writerows(csv_rows(result))


def _csv_row(
    result: ScanResult, frame: FrameResult, number: int, person: PersonResult | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "scan_id": result.scan_id,
        "model": result.model.name,
        "model_version": result.model.version,
        "scan_posture": result.posture.value,
        "scan_body_length_m": result.body_length_m,
        "order": frame.order,
        "status": frame.status.value,
        "reason": frame.reason,
        "floor_height_m": frame.floor_height_m,
        "camera_angle_deg": frame.camera_angle_deg,
        "missing_depth": frame.missing_depth,
        "child_distance_m": frame.child_distance_m,
        "quality": " ".join(frame.quality),
        "picture": frame.picture,
        "time_ms": frame.timings_ms.get("total"),
    }
    if person is not None:
        row |= dict(zip(_BOX_COLUMNS, person.box, strict=True))
        row |= {"person": number, "box_score": person.box_score, "score": person.score}
        row |= {"posture": person.posture.value, "body_length_m": person.body_length_m}
        for point in person.keypoints:
            row |= {f"{point.name}_{what}": getattr(point, what) for what in _KEYPOINT_COLUMNS}
        for joint in person.skeleton or ():
            row |= {f"{joint.name}_{what}": getattr(joint, what) for what in _JOINT_COLUMNS}
            row[f"{joint.name}_observed"] = int(joint.observed)
    return {name: "" if value is None else value for name, value in row.items()}


def save(folder: Path, result: ScanResult, artefacts: Mapping[str, bytes]) -> None:
    """Write a scan's results into a folder of its own; `result.json` is there only if all the rest is.

    All files are written beside and renamed at the end, the result last. Results that the folder held before
    are taken away: a picture that is withheld now must not remain from then. If the new ones cannot be
    written, the older result is put aside, as by `set_aside`.

    Raises:
        OSError: the folder cannot be written.
    """
    files = {**artefacts, RESULT: (result.model_dump_json(indent=2) + "\n").encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_DRAFT}*"):  # by a process that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=folder) as made:
            drafts = Path(made)
            for name, data in files.items():
                for place in (folder / name, drafts / name):
                    place.parent.mkdir(parents=True, exist_ok=True)
                (drafts / name).write_bytes(data)
            # From here on, files are only renamed and removed: that needs no space on the disk.
            for name in (RESULT, OLDER_RESULT, *(f"frames/*/{artefact}" for artefact in ARTEFACTS)):
                for old in folder.glob(name):
                    old.unlink()
            for name in files:
                os.replace(drafts / name, folder / name)
    except OSError:
        set_aside(folder)
        raise


def set_aside(folder: Path) -> None:
    """Rename the `result.json` of an earlier run to `result.older.json`, as the scan failed in this one.

    Do nothing if there is none, or if the folder cannot be written.
    """
    with suppress(OSError):
        os.replace(folder / RESULT, folder / OLDER_RESULT)

"""Write results as files: OBJ for 3D viewers, CSV for tables, and the folder of a scan's results."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pose import keypoints as kp
from pose.lifting.skeleton import Skeleton
from pose.results import Estimate, FrameResult, JointResult, KeypointResult, PersonResult, ScanResult

RESULT: Final = "result.json"
OLDER_RESULT: Final = "result.older.json"
_DRAFT: Final = ".draft-"  # start of the name of the folder in which results are written first
BLURRED, OVERLAY, DEPTH = "blurred.jpg", "overlay.jpg", "depth.png"
SKELETON, POSE = "skeleton.obj", "pose.json"
ARTEFACTS: Final = (BLURRED, OVERLAY, DEPTH, SKELETON, POSE)


def artefact_name(order: int, name: str) -> str:
    """Return the name of a frame's artefact, relative to its scan's results.

    Raises:
        ValueError: there is no artefact of this name.

    >>> artefact_name(0, BLURRED)
    'frames/0/blurred.jpg'
    """
    if name not in ARTEFACTS:
        raise ValueError(f"artefact is {name!r}, expected one of {', '.join(ARTEFACTS)}")
    return f"frames/{order:d}/{name}"


def skeleton_obj(skeleton: Skeleton) -> str:
    """Return a skeleton as Wavefront OBJ: all 17 joints as vertices, bones between observed ones as lines.

    A comment after each vertex gives its score and its distance to the depth used:
    `v x y z  # score distance_px`.

    Raises:
        ValueError: no joint was observed.
    """
    if not skeleton.measured:
        raise ValueError("no joint of the skeleton was observed, expected at least one")
    rows = np.column_stack((skeleton.joints, skeleton.scores, skeleton.distance_px)).tolist()
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}  # {score:.4f} {distance:.2f}" for x, y, z, score, distance in rows]
    lines += [f"l {a + 1} {b + 1}" for a, b in kp.LIMBS if skeleton.observed[a] and skeleton.observed[b]]
    return "\n".join(lines) + "\n"


# The columns of a CSV file; those that are fields of the result have the field's name.
_SCAN_COLUMNS: Final = (
    "scan_id", "model", "model_version", "scan_posture", "scan_body_length_m", "scan_body_length_low_m",
    "scan_body_length_high_m", "scan_stature_m", "scan_stature_low_m", "scan_stature_high_m",
    "frames_used", "verdict", "verdict_reasons",
)  # fmt: skip
_FRAME_FIELDS: Final = (
    "order", "status", "reason", "floor_height_m", "camera_angle_deg", "missing_depth", "child_distance_m",
    "weight", "head_height_m",
)  # fmt: skip
_BOX_COLUMNS: Final = ("box_x0", "box_y0", "box_x1", "box_y1")
_PERSON_FIELDS: Final = ("box_score", "score", "posture", "body_length_m", "stature_m")
_POINT_FIELDS: Final = ("u", "v", "score", "x", "y", "z", "distance_px", "observed")
CSV_COLUMNS: Final = (
    *_SCAN_COLUMNS, *_FRAME_FIELDS, "quality", "picture", "depth_picture", "time_ms", "person", *_BOX_COLUMNS,
    *_PERSON_FIELDS, "body_length_low_m", "body_length_high_m", "stature_low_m", "stature_high_m",
    *(f"{joint}_{field}" for joint in kp.NAMES for field in _POINT_FIELDS),
)  # fmt: skip


@dataclass(frozen=True)
class FailedScan:
    """A scan without a result: its name in the CSV file, and why it failed."""

    scan_id: str
    reason: str


def write_csv(file: IO[str], results: Iterable[ScanResult | FailedScan], *, header: bool = True) -> None:
    """Write results to an open text file (`newline=""`): a header, then one row per frame and person.

    A frame without people gets one row. So does a failed scan: its `status` is "failed", and `reason` says
    why. Cells are empty where a value is null.
    """
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for result in results:
        if isinstance(result, FailedScan):
            writer.writerow({"scan_id": result.scan_id, "status": "failed", "reason": result.reason})
            continue
        for frame in result.frames:
            cells = _frame_cells(result, frame)
            if not frame.people:
                writer.writerow(cells)
            for number, person in enumerate(frame.people):
                writer.writerow(cells | _person_cells(number, person))


def _frame_cells(result: ScanResult, frame: FrameResult) -> dict[str, Any]:
    return {
        "scan_id": result.scan_id,
        "model": result.model.name,
        "model_version": result.model.version,
        "scan_posture": result.posture,
        "scan_body_length_m": result.body_length_m,
        **_interval_cells("scan_body_length", result.body_length_estimate_m),
        "scan_stature_m": result.stature_m,
        **_interval_cells("scan_stature", result.stature_estimate_m),
        "frames_used": result.frames_used,
        "verdict": result.verdict,
        "verdict_reasons": " ".join(reason.code for reason in result.verdict_reasons),
        **frame.model_dump(include=set(_FRAME_FIELDS)),
        "quality": " ".join(frame.quality),
        "picture": frame.picture,
        "depth_picture": frame.depth_picture,
        "time_ms": frame.timings_ms.get("total"),
    }


def _person_cells(number: int, person: PersonResult) -> dict[str, Any]:
    cells: dict[str, Any] = {"person": number, **dict(zip(_BOX_COLUMNS, person.box, strict=True))}
    cells |= person.model_dump(include=set(_PERSON_FIELDS))
    cells.update(_interval_cells("body_length", person.body_length_estimate_m))
    cells.update(_interval_cells("stature", person.stature_estimate_m))
    points: tuple[KeypointResult | JointResult, ...] = (*person.keypoints, *(person.skeleton or ()))
    for point in points:
        cells |= {f"{point.name}_{field}": value for field, value in point if field != "name"}
    for joint in person.skeleton or ():
        cells[f"{joint.name}_observed"] = int(joint.observed)
    return cells


def _interval_cells(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return the cells of the ends of a figure's 95 % interval."""
    ends = (None, None) if estimate is None else (estimate.low, estimate.high)
    return dict(zip((f"{name}_low_m", f"{name}_high_m"), ends, strict=True))


def save(folder: Path, result: ScanResult, artefacts: Mapping[str, bytes]) -> None:
    """Write the results of one scan into a folder; `result.json` is written last.

    All files are written beside and renamed at the end. Earlier results in the folder are deleted then: a
    picture that is withheld now must not remain. If the new results cannot be written, the earlier
    `result.json` is put aside, as by `set_aside`.

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

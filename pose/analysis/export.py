"""Write results as files: OBJ for 3D viewers, CSV for tables, and the folder of a scan's results."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pose import keypoints as kp
from pose.lifting.skeleton import Skeleton
from pose.results import FrameResult, JointResult, KeypointResult, PersonResult, ScanResult

RESULT: Final = "result.json"
BLURRED, OVERLAY, SKELETON, POSE = "blurred.jpg", "overlay.jpg", "skeleton.obj", "pose.json"
ARTEFACTS: Final = (BLURRED, OVERLAY, SKELETON, POSE)


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
_SCAN_COLUMNS: Final = ("scan_id", "model", "model_version", "scan_posture", "scan_body_length_m")
_FRAME_FIELDS: Final = (
    "order", "status", "reason", "floor_height_m", "camera_angle_deg", "missing_depth", "child_distance_m",
)  # fmt: skip
_BOX_COLUMNS: Final = ("box_x0", "box_y0", "box_x1", "box_y1")
_PERSON_FIELDS: Final = ("box_score", "score", "posture", "body_length_m")
_POINT_FIELDS: Final = ("u", "v", "score", "x", "y", "z", "distance_px", "observed")
CSV_COLUMNS: Final = (
    *_SCAN_COLUMNS, *_FRAME_FIELDS, "quality", "picture", "time_ms", "person", *_BOX_COLUMNS, *_PERSON_FIELDS,
    *(f"{joint}_{field}" for joint in kp.NAMES for field in _POINT_FIELDS),
)  # fmt: skip


def write_csv(file: IO[str], results: Iterable[ScanResult]) -> None:
    """Write results to an open text file (`newline=""`): a header, then one row per frame and person.

    A frame without people gets one row. Cells are empty where a value is null.
    """
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for result in results:
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
        **frame.model_dump(include=set(_FRAME_FIELDS)),
        "quality": " ".join(frame.quality),
        "picture": frame.picture,
        "time_ms": frame.timings_ms.get("total"),
    }


def _person_cells(number: int, person: PersonResult) -> dict[str, Any]:
    cells = {"person": number, **dict(zip(_BOX_COLUMNS, person.box, strict=True))}
    cells |= person.model_dump(include=set(_PERSON_FIELDS))
    points: tuple[KeypointResult | JointResult, ...] = (*person.keypoints, *(person.skeleton or ()))
    for point in points:
        cells |= {f"{point.name}_{field}": value for field, value in point if field != "name"}
    for joint in person.skeleton or ():
        cells[f"{joint.name}_observed"] = int(joint.observed)
    return cells


def save(folder: Path, result: ScanResult, artefacts: Mapping[str, bytes]) -> None:
    """Write the results of one scan into a folder; `result.json` is written last.

    Earlier results in the folder are deleted first: a picture that is withheld now must not remain.

    Raises:
        OSError: the folder cannot be written.
    """
    (folder / RESULT).unlink(missing_ok=True)
    for name in ARTEFACTS:
        for old in folder.glob(f"frames/*/{name}"):
            old.unlink()
    for name, data in artefacts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{RESULT}.{os.getpid()}"
    try:
        temporary.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, folder / RESULT)
    finally:
        temporary.unlink(missing_ok=True)

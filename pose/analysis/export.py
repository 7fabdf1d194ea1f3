"""Results as files: OBJ for 3D viewers, CSV for tables, and a scan's whole folder of results."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from pose import keypoints as kp
from pose.lifting.skeleton import Skeleton
from pose.results import FrameResult, PersonResult, ScanResult

RESULT: Final = "result.json"
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


def csv_rows(result: ScanResult) -> Iterator[dict[str, Any]]:
    """One row a person and frame; one without a person for a frame where nobody was found."""
    for frame in result.frames:
        people: tuple[PersonResult | None, ...] = frame.people or (None,)
        for number, person in enumerate(people):
            yield _csv_row(result, frame, number, person)


def write_csv(file: IO[str], results: Iterable[ScanResult]) -> None:
    """Write results to an open text file (`newline=""`), with a header."""
    writer = csv.DictWriter(file, csv_columns(), restval="", lineterminator="\n")
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

    Results that the folder held before are taken away first: a picture that is withheld now must not
    remain from then.

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

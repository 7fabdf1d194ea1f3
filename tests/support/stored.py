"""Stored results of a scan, as `pose run` leaves them in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pose
from pose.analysis.export import save
from pose.results import ScanResult
from pose.scan.frame import Frame, Scan
from tests.support.rendered import KnowingEstimator, with_face

FRAMES = 3


@lru_cache(maxsize=1)
def analysed() -> pose.Analysis:
    """Return the analysis of a scan of a rendered child who stands, with three equal frames."""
    truth = with_face()
    frames = tuple(
        Frame(order, truth.frame.step, truth.frame.rgb, truth.frame.depthmap) for order in range(FRAMES)
    )
    people = dict.fromkeys(range(FRAMES), truth.people)
    scan = Scan(truth.frame.step, frames, (), "0" * 64)
    return pose.analyse_scan(scan, KnowingEstimator(people), scan_id="scan-1")


def stored(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Store the results as `folder`/<its id>, changed if wanted, and return that folder."""
    analysis = analysed()
    fields = json.loads(analysis.result.model_dump_json())
    if change is not None:
        change(fields)
    result = ScanResult.model_validate(fields)
    save(folder / result.scan_id, result, analysis.artefacts)
    return folder / result.scan_id


def replace_artefact(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes in place of an artefact, and name them in the result."""
    (folder / name).write_bytes(data)
    path = folder / "result.json"
    fields = json.loads(path.read_text())
    fields["artefacts"][name] = hashlib.sha256(data).hexdigest()
    path.write_text(json.dumps(fields))

"""Measure how much of faces is left in published pictures: `python -m pose.evaluation.anonymisation`.

The whole analysis runs on held-out rendered scans, and the true masks of faces tell how many of their pixels
are left in the pictures that it would publish (`face_tally`). The faces of helpers and other children count
as well. `--handling` holds the phone another way, or chooses another step; `--table` measures many kinds of
scans.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

import pose
from pose.errors import PoseError
from pose.evaluation.face_table import (
    BOTH,
    ROWS,
    Plan,
    markdown,
    measure_parallel,
    open_face_detector,
    write_report,
)
from pose.evaluation.face_tally import FIRST_SEED, Tally, sample_scan, tally_scan
from pose.evaluation.handling import HANDLINGS, PLAIN, Handling, parse_handling
from pose.evaluation.harness import (
    POSTURES,
    Careless,
    Device,
    Weights,
    load_depth_network,
    print_report,
    progress,
)
from pose.evaluation.metadata import add_metadata, count_shared_runs
from pose.privacy.face_detector import FaceDetector
from pose.synthetic.render import FIRST_TRAINING_SEED
from pose.synthetic.scan_writer import scan_files

_METADATA_SCANS: Final = 4  # written to files with metadata and read again
_MAX_SEED: Final = FIRST_TRAINING_SEED - 1000
_PRINT_EVERY_S: Final = 60.0


def count_leaked_metadata(estimator: pose.Estimator, scans: int, first_seed: int = FIRST_SEED) -> int:
    """Return how many runs of bytes artefacts and results share with metadata added to the pictures."""
    shared = 0
    for number in progress(scans, "metadata"):
        files, secrets = {}, []
        truth: dict[str, Any] = {"frames": []}
        for name, data in scan_files(first_seed + number, POSTURES[number % 2], 2, truth=truth):
            if name.startswith("rgb/"):
                data, added = add_metadata(data, number)
                secrets += added
            if not name.startswith("truth"):
                files[name] = data
        analysis = pose.analyse_scan(pose.read_scan_files(files), estimator)
        published = [*analysis.artefacts.values(), analysis.result.model_dump_json().encode()]
        shared += count_shared_runs(published, secrets)
    return shared


def measure(
    estimator: pose.Estimator,
    face_detector: FaceDetector,
    scans: int,
    *,
    careful: bool,
    first_seed: int = FIRST_SEED,
    handling: Handling = PLAIN,
) -> dict[str, Any]:
    """Return a record for `json.dumps`: shares of redacted face pixels and withheld pictures, and leaks."""
    tally = Tally()
    for number in progress(scans, "scans"):
        sample = sample_scan(number, careful=careful, first_seed=first_seed, handling=handling)
        tally.add(tally_scan(estimator, face_detector, sample))
    leaks = count_leaked_metadata(estimator, min(scans, _METADATA_SCANS), first_seed)
    return tally.report() | {"runs_of_bytes_shared_with_metadata": leaks}


def print_table(plan: Plan, scans: int, jobs: int, minutes: float | None, report: Path | None) -> None:
    """Measure several kinds of scans; print a Markdown table, and meanwhile what is known so far."""
    estimator, detectors = plan.load()  # fails here rather than in each process
    about = {"model": estimator.name, "version": estimator.version}
    about |= {f"face_detector_{name}": detector.version for name, detector in detectors.items()}
    start = printed = time.monotonic()
    tallies = {}
    for tallies in measure_parallel(plan, scans, jobs, minutes):
        if time.monotonic() > printed + _PRINT_EVERY_S:
            printed = time.monotonic()
            print(f"{markdown(tallies)}\n\nafter {printed - start:.0f} s\n", flush=True)
            if report is not None:
                write_report(report, about, tallies)
    print(f"{markdown(tallies)}\n\n{time.monotonic() - start:.0f} s in {jobs} processes", flush=True)
    if report is not None:
        write_report(report, about, tallies)


def main(
    scans: Annotated[int, typer.Option(min=1, max=2000, help="Scans, standing and lying in turn.")] = 300,
    seed: Annotated[int, typer.Option(min=0, max=_MAX_SEED, help="Seed of the first scan.")] = FIRST_SEED,
    careless: Careless = False,
    handling: Annotated[
        str,
        typer.Option(help=f"plain, upside, or {', '.join(HANDLINGS)}, with commas."),
    ] = "plain",
    table: Annotated[bool, typer.Option(help="Many kinds of scans, as a table.")] = False,
    rows: Annotated[str, typer.Option(help=f"Of the table: all, or {', '.join(ROWS)}, with commas.")] = "all",
    jobs: Annotated[int, typer.Option(min=1, help="Of the table: processes.")] = os.cpu_count() or 1,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Of the table: begin no scan later than this.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Of the table: a JSON file to write.")] = None,
    face_detector: Annotated[str, typer.Option(help="auto, yunet, haar, or for a table both.")] = "auto",
    yunet: Annotated[Path | None, typer.Option(help="YuNet's ONNX file, if it is not stored.")] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Measure how much of rendered faces is left in published pictures and print the report as JSON."""
    names = tuple(ROWS) if rows == "all" else tuple(rows.split(","))
    if unknown := set(names) - set(ROWS):
        raise typer.BadParameter(f"rows are {sorted(unknown)}, expected all or {', '.join(ROWS)}")
    try:
        handled = parse_handling(handling)
        if table:
            detectors = BOTH if face_detector == "both" else (face_detector,)
            print_table(Plan(names, detectors, weights, yunet, device), scans, jobs, minutes, report)
            return
        detector = open_face_detector(face_detector, yunet)
    except (PoseError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    estimator = load_depth_network(weights, device)
    about = {"model": estimator.name, "version": estimator.version, "careful": not careless}
    about |= {"face_detector": detector.name, "face_detector_version": detector.version}
    about |= {"first_seed": seed, "handling": handling}
    measured = measure(estimator, detector, scans, careful=not careless, first_seed=seed, handling=handled)
    print_report(about | measured)


if __name__ == "__main__":
    typer.run(main)

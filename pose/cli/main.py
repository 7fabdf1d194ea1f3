"""The `pose` command: analyse scans at a terminal, without a queue or a bucket."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import pose
from pose.analysis.export import save, write_csv
from pose.analysis.frame import Options
from pose.cli import evaluate as coco_cli
from pose.cli import weights as weights_cli
from pose.errors import PoseError
from pose.estimators.base import Estimator
from pose.estimators.loading import EstimatorOptions
from pose.privacy.redact import METHODS as COVERS
from pose.results import SCAN_ID, DriftResult, FrameStatus, ScanResult
from pose.weights.registry import DEFAULT_DETECTOR

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

app = typer.Typer(
    help="A child's 3D skeleton, posture and face-free pictures from a phone's RGB and depth scan.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MODEL_HELP = (
    "A model of docs/models.md. auto: the best RGB model if it is stored, else depth-hrnet. "
    "both: an RGB model, compared with depth-hrnet."
)
_WEIGHTS_HELP = "Folder of the stored weights. Default: the user's cache folder."
BODY_POSTURES = ("standing", "lying")


@app.command()
def run(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN_FOLDER…", help="Folders with one scan each.")],
    out: Annotated[
        Path, typer.Option(help="Folder for the results: OUT/<scan folder's name>/result.json and pictures.")
    ],
    model: Annotated[str, typer.Option(help=_MODEL_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    detector: Annotated[
        str, typer.Option(help="Detector that finds the people for an RGB model.")
    ] = DEFAULT_DETECTOR,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="RGB models: use the mirror image too; twice the time.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Crops or depth maps in one batch.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of HRNet weights to use instead of stored ones.")
    ] = None,
    detector_weights: Annotated[
        Path | None, typer.Option(help="File of detector weights to use instead of stored ones.")
    ] = None,
    weights_url: Annotated[str | None, typer.Option(envvar="WEIGHTS_URL", help=_WEIGHTS_HELP)] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Also write a CSV file: one row for each person in each frame.")
    ] = None,
    cover: Annotated[str, typer.Option(help="How heads are redacted: blur, mosaic or solid.")] = "blur",
) -> None:
    """Analyse scans and print one line for each.

    Exit code 1: a scan failed. Exit code 2: the command could not start.
    """
    method = next((known for known in COVERS if known == cover), None)
    if method is None:
        raise typer.BadParameter(f"expected one of {', '.join(COVERS)}", param_hint="--cover")
    options = Options(cover=method)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        models = load_models(
            model,
            device,
            store=store_at(weights_url),
            weights=weights,
            detector=detector,
            detector_weights=detector_weights,
            flip_test=flip_test,
            batch_size=batch_size,
        )
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out}: not a folder, expected a folder for the results")
        csv_file = None if csv is None else csv.open("w", newline="", encoding="utf-8")
    except (PoseError, ValueError, OSError) as error:
        errors.print(f"pose run: {_text(error)}", markup=False)
        raise typer.Exit(2) from None
    errors.print(f"model: {' compared with '.join(f'{m.name} {m.version}' for m in models)}", markup=False)
    results, failed = _run_all(scans, out, models, options, errors)
    if csv_file is not None:
        with csv_file:
            write_csv(csv_file, results)
    if failed:
        raise typer.Exit(1)


def load_models(model: str, device: str, **options: Unpack[EstimatorOptions]) -> tuple[Estimator, ...]:
    """Load the estimator of this name; for "both" two: the RGB one and depth-hrnet to compare it with.

    Raises: as `pose.load_estimator`.
    """
    if model == "both":
        return pose.load_pair(model, device, **options)
    return (pose.load_estimator(model, device, **options),)


def store_at(url: str | None) -> WeightsStore:
    """Return the stored weights in the folder that a URL or path names; for None or a server, the user's own.

    Nothing is downloaded here: that does `pose weights pull`.

    Raises:
        ValueError: the URL cannot be used.
    """
    from pose.weights.sources import open_weights  # it imports torch

    store, _ = open_weights(url)
    return store


def _run_all(
    scans: list[Path], out: Path, models: tuple[Estimator, ...], options: Options, errors: Console
) -> tuple[list[ScanResult], int]:
    """Analyse the scans, print a line for each, and return the results and the number that failed."""
    console = Console(highlight=False, soft_wrap=True)
    results: list[ScanResult] = []
    failed = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A bar and lines on one terminal must come from one console. A file gets only the lines.
    shown_on = console if console.is_terminal else errors
    hidden = not shown_on.is_terminal  # in a file the bar would leave an empty line
    with Progress(*columns, console=shown_on, transient=True, redirect_stdout=False, disable=hidden) as bar:
        task = bar.add_task("frames", total=None)
        for number, (folder, name) in enumerate(zip(scans, scan_names(scans), strict=True), 1):
            bar.update(task, description=f"scan {number} of {len(scans)}", completed=0, total=None)
            try:
                if not folder.is_dir():
                    raise InvalidName("there is no such folder")
                if isinstance(name, ValueError):
                    raise name
                if (out / name).resolve() == folder.resolve():
                    raise InvalidName(
                        "its results would be written into the scan itself; choose another --out"
                    )
                started = time.perf_counter()
                result = run_scan(
                    folder,
                    name,
                    out / name,
                    *models,
                    options=options,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
            except (PoseError, ValueError, OSError) as error:
                failed += 1
                label = name if isinstance(name, str) else f"scan {number}"
                # An OSError's text contains the path, which may contain a person's code.
                reason = str(error)
                if isinstance(error, OSError):
                    reason = f"a file cannot be read or written: {error.strerror or type(error).__name__}"
                console.print(f"{label}  failed: {reason}", markup=False)
                continue
            results.append(result)
            console.print(summary(result, time.perf_counter() - started), markup=False)
            if result.drift is not None:
                console.print(drift_line(result.scan_id, result.drift), markup=False)
    return results, failed


@app.command()
def schema() -> None:
    """Print the JSON Schema of result.json."""
    json.dump(pose.result_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")


@app.command()
def bodies(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the scan.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")],
    posture: Annotated[str, typer.Option(help="standing or lying.")],
    frames: Annotated[int, typer.Option(min=1, max=99, help="Number of pictures and depth maps.")] = 9,
) -> None:
    """Render a scan of a synthetic child. Its true joints and measures are in truth.json."""
    if posture not in BODY_POSTURES:
        raise typer.BadParameter(f"expected one of {', '.join(BODY_POSTURES)}", param_hint="--posture")
    from pose.synthetic.scan_writer import write_scan

    try:
        typer.echo(write_scan(out, seed, posture, frames=frames))
    except OSError as error:
        Console(stderr=True, soft_wrap=True).print(f"pose bodies: {_text(error)}", markup=False)
        raise typer.Exit(2) from None


def run_scan(
    folder: Path,
    scan_id: str,
    out: Path,
    estimator: Estimator,
    compare_with: Estimator | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScanResult:
    """Read one scan, analyse it and save the results, as a worker does.

    Raises:
        InvalidScan: the scan cannot be used.
        OSError: a folder cannot be read or written.
    """
    scan = pose.read_scan(folder)
    analysis = pose.analyse_scan(
        scan, estimator, compare_with=compare_with, scan_id=scan_id, options=options, progress=progress
    )
    save(out, analysis.result, analysis.artefacts)
    return analysis.result


def scan_names(folders: list[Path]) -> Iterator[str | ValueError]:
    """Yield the scan id of each folder, which is its name, or an error if the name is not a scan id."""
    taken = set()
    for folder in folders:
        name = folder.resolve().name
        if not re.fullmatch(SCAN_ID, name):
            # Without the name: it may contain a person's code.
            yield InvalidName(
                "the folder's name is no scan id, expected 1 to 128 letters (A-Z, a-z), digits, _ or -"
            )
        elif name in taken:
            yield InvalidName("an earlier scan has the same name")
        else:
            taken.add(name)
            yield name


class InvalidName(ValueError):
    """Raised when a scan's folder or its name cannot be used."""


def _text(error: Exception) -> str:
    """Return an error's text, without the number at the beginning of an OSError's."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def summary(result: ScanResult, seconds: float) -> str:
    """Return one line about a scan."""
    length = "-" if result.body_length_m is None else f"{result.body_length_m * 100:.1f} cm"
    counts = [f"{result.frames_used} of {len(result.frames)} frames used"]
    for status in FrameStatus:
        number = sum(frame.status is status for frame in result.frames)
        if status is not FrameStatus.OK and number:
            counts.append(f"{number} {status.value.replace('_', ' ')}")
    withheld = sum(frame.picture is None for frame in result.frames)
    if withheld:
        counts.append(f"{withheld} without picture")
    posture = f"{result.posture.value} ({result.posture_confidence:.2f})"
    return f"{result.scan_id}  {posture}  body length {length}  {', '.join(counts)}  {seconds:.1f} s"


def drift_line(scan_id: str, drift: DriftResult) -> str:
    """Return one line about how far the detections of two models are apart in a scan."""
    start = f"{scan_id}  drift against {drift.model.name}: "
    if drift.distance is None or drift.offset_px is None:
        return start + "nothing to compare"
    alarm = "ALARM: " if drift.alarm else ""
    du, dv = drift.offset_px
    return (
        f"{start}{alarm}{drift.distance:.3f} torso lengths (limit {drift.limit}), "
        f"offset {du:+.1f} {dv:+.1f} px, worst {drift.worst_joint} {drift.worst_distance:.2f}, "
        f"{drift.frames} frames"
    )


# Help lists the commands in this order: those for scans come first.
app.command()(coco_cli.evaluate)
app.add_typer(weights_cli.app, name="weights")


def main() -> None:
    """Entry point of the `pose` command."""
    app()

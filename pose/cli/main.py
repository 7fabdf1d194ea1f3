"""The `pose` command: analyse scans at a terminal, without a queue or a bucket."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

import pose
from pose.analysis.frame import Options
from pose.analysis.quality import LIMITS
from pose.cli import evaluate as coco_cli
from pose.cli import report as report_cli
from pose.cli import weights as weights_cli
from pose.cli.interrupts import Interrupted, Interrupts
from pose.cli.output import OutputFile, error_text, guard_streams, make_console
from pose.cli.scans import SCAN_ID_TEXT, Run, check_out, open_csv, read_xor_key, run_scan, scan_names
from pose.errors import PoseError
from pose.estimators.base import Estimator
from pose.estimators.carried_boxes import DETECT
from pose.estimators.loading import EstimatorOptions
from pose.privacy.loading import load_face_detector
from pose.privacy.redact import METHODS as COVERS
from pose.results import SCAN_ID
from pose.weights.registry import DEFAULT_DETECTOR

if TYPE_CHECKING:
    from pose.weights.store import WeightsStore

__all__ = ["app", "load_models", "main", "run_scan", "store_at"]

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
_FACE_DETECTOR_HELP = "auto, yunet or haar. auto: yunet if its weights are stored, else OpenCV's cascades."
_LIMITS_HELP = (
    "all or production. all: each frame counts, with a weight. production: a frame that breaks a quality "
    "limit does not count."
)
_RUNTIME_HELP = (
    "What runs the networks: torch, openvino or auto. auto: openvino on a CPU, if it is installed."
)
_PRECISION_HELP = "In which a GPU runs the networks: fp32, fp16 or auto. auto: RGB models in fp16 if it can."
_DETECT_HELP = "Frames in which an RGB model's detector looks for people: every, sparse or depth."
_WEIGHTS_HELP = "Folder of the stored weights. Default: the user's cache folder."
BODY_POSTURES = ("standing", "lying")


@app.command()
def run(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN_FOLDER...", help="Folders, one scan each.")],
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
    scan_id: Annotated[
        str | None, typer.Option(help="Id of the scan, if only one is given. Default: its folder's name.")
    ] = None,
    cover: Annotated[str, typer.Option(help="How heads are redacted: blur, mosaic or solid.")] = "blur",
    limits: Annotated[str, typer.Option(help=_LIMITS_HELP)] = "all",
    face_detector: Annotated[str, typer.Option(help=_FACE_DETECTOR_HELP)] = "auto",
    runtime: Annotated[str, typer.Option(help=_RUNTIME_HELP)] = "auto",
    precision: Annotated[str, typer.Option(help=_PRECISION_HELP)] = "auto",
    detect: Annotated[str, typer.Option(help=_DETECT_HELP)] = "every",
    xor_key_file: Annotated[
        Path | None, typer.Option(help="File with the key, in hex, of scans whose artefacts are scrambled.")
    ] = None,
) -> None:
    """Analyse scans and print one line for each.

    Exit code 1: a scan failed, or the CSV file or the lines could not be written. Exit code 2: the command
    could not start. After Ctrl-C or SIGTERM (130, 143) results and CSV rows of the finished scans are kept.
    """
    method = next((known for known in COVERS if known == cover), None)
    if method is None:
        raise typer.BadParameter(f"expected one of {', '.join(COVERS)}", param_hint="--cover")
    if limits not in LIMITS:
        raise typer.BadParameter(f"expected one of {', '.join(LIMITS)}", param_hint="--limits")
    frames_to_see = next((known for known in DETECT if known == detect), None)
    if frames_to_see is None:
        raise typer.BadParameter(f"expected one of {', '.join(DETECT)}", param_hint="--detect")
    if scan_id is not None and not re.fullmatch(SCAN_ID, scan_id):
        raise typer.BadParameter(f"expected {SCAN_ID_TEXT}", param_hint="--scan-id")
    if scan_id is not None and len(scans) > 1:
        raise typer.BadParameter(f"it names one scan, but {len(scans)} are given", param_hint="--scan-id")
    messages = make_console(stderr=True)
    table: OutputFile | None = None
    try:
        with Interrupts() as interrupts, ExitStack() as files:
            try:
                check_out(out)
                if csv is not None:
                    table = open_csv(csv, out)
                    files.callback(interrupts.held(table.close))
                xor_key = None if xor_key_file is None else read_xor_key(xor_key_file)
                store = store_at(weights_url)
                faces = load_face_detector(face_detector, store, runtime)
                models = load_models(
                    model,
                    device,
                    store=store,
                    weights=weights,
                    detector=detector,
                    detector_weights=detector_weights,
                    flip_test=flip_test,
                    batch_size=batch_size,
                    runtime=runtime,
                    precision=precision,
                    detect=frames_to_see,
                )
            except (PoseError, ValueError, OSError) as error:
                messages.print(f"pose run: {error_text(error)}")
                raise typer.Exit(2) from None
            messages.print(f"model: {' compared with '.join(f'{m.name} {m.version}' for m in models)}")
            better = "; `pose weights pull yunet` brings a better one" if faces.name == "haar" else ""
            messages.print(f"face detector: {faces.name} {faces.version}{better}")
            analyse_all = Run(
                out, models, Options(cover=method, limits=LIMITS[limits]), table, interrupts, faces, xor_key
            )
            failed = analyse_all(scans, list(scan_names(scans, scan_id)), messages)
    except Interrupted as stop:
        messages.print(f"pose run: ended by {stop}; results of the finished scans are kept")
        raise typer.Exit(128 + stop.number) from None
    finally:
        if table is not None and table.problem:
            messages.print(f"pose run: {table.problem}")
    if failed or (table is not None and table.problem):
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
        make_console(stderr=True).print(f"pose bodies: {error_text(error)}")
        raise typer.Exit(2) from None


# Help lists the commands in this order: those for scans come first.
app.command()(report_cli.report)
app.command()(coco_cli.evaluate)
app.add_typer(weights_cli.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pose {version('pose-worker')}")
        raise typer.Exit


@app.callback(help=app.info.help)
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point of the `pose` command. Exit code 1 if what it prints could not be written."""
    guard_streams()
    code: str | int | None = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except OSError as error:
        make_console(stderr=True).print(f"pose: {error_text(error)}")
        code = 1
    sys.stdout.flush()
    sys.exit(code or int(getattr(sys.stdout, "error", None) is not None))

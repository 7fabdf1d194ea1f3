"""`pose evaluate`: COCO's metrics of an RGB model, on COCO or any data set in its format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pose.errors import PoseError
from pose.estimators.loading import choose_device
from pose.evaluation import coco, coco_metrics
from pose.weights.registry import DEFAULT_POSE, POSE_MODELS

_ANNOTATIONS = "person_keypoints_val2017.json of COCO, or another file in that format."
_BOXES = "File with a detector's boxes in COCO's results format. Default: use the annotated boxes."
_STORE = "Folder of the stored weights. Default: the user's cache folder."
_MODEL = f"Name of the RGB model. Default: the model of the --weights file, or {DEFAULT_POSE}."


def evaluate(
    annotations: Annotated[Path, typer.Option(help=_ANNOTATIONS)],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    boxes: Annotated[Path | None, typer.Option(help=_BOXES)] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of weights to use instead of stored ones.")
    ] = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="Use the mirror images too.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Crops in one batch.")] = 32,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use only this many pictures, the first of the file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the keypoints to this file, in COCO's results format.")
    ] = None,
    weights_url: Annotated[str | None, typer.Option(envvar="WEIGHTS_URL", help=_STORE)] = None,
) -> None:
    """Measure a model's keypoint AP with COCO's own code. Exit code 2: it cannot be measured.

    Published AP values are for val2017, with the flip test and the boxes of the authors' detector
    (COCO_val2017_detections_AP_H_56_person.json). With annotated boxes the AP is slightly higher.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        if model is not None and model not in POSE_MODELS:
            raise ValueError(f"unknown model {model!r}, expected one of {', '.join(POSE_MODELS)}")
        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            raise ValueError(f"{out} cannot be written, expected a file in an existing folder")
        data_set = coco.read_annotations(annotations, limit)
        tasks = coco.true_boxes(data_set) if boxes is None else coco.detected_boxes(boxes, data_set)
        coco_metrics.find_pictures(data_set, tasks, images)
        about, poser = _load(model, weights, weights_url, device, flip_test, batch_size)
        count = sum(len(task.boxes) for task in tasks)
        kind = "annotated" if boxes is None else "detected"
        errors.print(f"model: {about}; {count} {kind} boxes in {len(tasks)} pictures", markup=False)
        results = _predict(poser, data_set, tasks, images, batch_size, errors)
        if out is not None:
            out.write_text(json.dumps(results) + "\n")
        metrics = coco_metrics.evaluate(data_set, results)
    except (PoseError, ValueError, OSError) as error:
        errors.print(f"pose evaluate: {error}", markup=False)
        raise typer.Exit(2) from None
    _print(metrics)


def _load(
    model: str | None,
    weights: Path | None,
    weights_url: str | None,
    device: str,
    flip_test: bool,
    batch_size: int,
) -> tuple[str, coco_metrics.Poser]:
    """Return one line about the model, and the network on its device."""
    from pose.estimators.topdown import TopDown, input_size_of
    from pose.weights.ingest import read_weights_file  # they import torch
    from pose.weights.sources import open_weights

    on = choose_device(device)
    if weights is not None:
        checkpoint = read_weights_file(weights, model)
        if "input_size" not in checkpoint.facts:
            fits = [name for name in POSE_MODELS if name.startswith(f"{checkpoint.facts['name']}-")]
            raise ValueError(f"{weights.name} does not tell its input size: give --model {' or '.join(fits)}")
    else:
        store, _ = open_weights(weights_url)
        checkpoint = store.load(model or DEFAULT_POSE)
    poser = TopDown(
        checkpoint,
        input_size=input_size_of(checkpoint),
        device=on,
        flip_test=flip_test,
        batch_size=batch_size,
    )
    flip = "flip test" if flip_test else "no flip test"
    return f"{checkpoint.facts['name']} {checkpoint.facts['version']}, {flip}, on {on}", poser


def _predict(
    poser: coco_metrics.Poser,
    data_set: coco.Annotations,
    tasks: Sequence[coco.Task],
    images: Path,
    batch_size: int,
    console: Console,
) -> list[dict[str, Any]]:
    import torch

    counts = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    shown = console.is_terminal  # in a file it would leave an empty line
    with Progress(*counts, *times, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("pictures", total=len(tasks))
        try:
            # Several batches at a time: only the last of them may be partly empty.
            return coco_metrics.predict(
                poser,
                data_set,
                tasks,
                images,
                boxes_at_once=4 * batch_size,
                progress=lambda done: bar.advance(task, done),
            )
        except torch.OutOfMemoryError:
            text = f"the device's memory is too small for {batch_size} crops at once"
            raise ValueError(f"{text}: choose a smaller --batch-size") from None


def _print(metrics: dict[str, float]) -> None:
    """Print the metrics in percent, as in papers; "-" if no annotated person is of that size."""
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    table.add_column("%", justify="right")
    for name, value in metrics.items():
        table.add_row(name, "-" if value < 0 else f"{100 * value:.1f}")
    Console(highlight=False).print(table)

"""`pose evaluate`: COCO's figures of an RGB model's weights, on COCO or on any data set in its format."""

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
from pose.evaluation import coco
from pose.evaluation import coco_metrics as coco_evaluation
from pose.weights.registry import DEFAULT_POSE, POSE_MODELS

_ANNOTATIONS = "COCO's person_keypoints_val2017.json, or another file in its format."
_BOXES = "A detector's boxes, a file in COCO's results format. Without it the annotated boxes are taken."
_STORE = "Folder of the stored weights; the user's cache if it is none."
_MODEL = f"Name of the RGB model. Default: what the file of --weights is, or {DEFAULT_POSE}."


def evaluate(
    annotations: Annotated[Path, typer.Option(help=_ANNOTATIONS)],
    images: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    boxes: Annotated[Path | None, typer.Option(help=_BOXES)] = None,
    model: Annotated[str | None, typer.Option(help=_MODEL)] = None,
    weights: Annotated[Path | None, typer.Option(help="The model's file, if not the stored one.")] = None,
    flip_test: Annotated[bool, typer.Option("--flip-test", help="Also look at mirror images.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Crops that go through the network at once.")] = 32,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many pictures only.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the keypoints here, in COCO's format.")] = None,
    weights_url: Annotated[str | None, typer.Option(envvar="WEIGHTS_URL", help=_STORE)] = None,
) -> None:
    """Measure a model's keypoint AP with COCO's own code. Exit code 2 if that cannot be done.

    The published AP are those on val2017 with the flip test and the boxes of the authors' detector
    (COCO_val2017_detections_AP_H_56_person.json). With the annotated boxes it is a little more.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        if model is not None and model not in POSE_MODELS:
            raise ValueError(f"unknown model {model!r}, expected one of {', '.join(POSE_MODELS)}")
        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            raise ValueError(f"{out} cannot be written: no file in a folder that is there")
        data_set = coco.read_annotations(annotations, limit)
        tasks = coco.true_boxes(data_set) if boxes is None else coco.detected_boxes(boxes, data_set)
        coco_evaluation.find_pictures(data_set, tasks, images)
        about, poser = _load(model, weights, weights_url, device, flip_test, batch_size)
        count = sum(len(task.boxes) for task in tasks)
        kind = "annotated" if boxes is None else "detected"
        errors.print(f"model: {about}; {count} {kind} boxes in {len(tasks)} pictures", markup=False)
        results = _predict(poser, data_set, tasks, images, batch_size, errors)
        if out is not None:
            out.write_text(json.dumps(results) + "\n")
        figures = coco_evaluation.evaluate(data_set, results)
    except (PoseError, ValueError, OSError) as error:
        errors.print(f"pose evaluate: {error}", markup=False)
        raise typer.Exit(2) from None
    _print(figures)


def _load(
    model: str | None,
    weights: Path | None,
    weights_url: str | None,
    device: str,
    flip_test: bool,
    batch_size: int,
) -> tuple[str, coco_evaluation.Poser]:
    """The network on its device, and one line about it."""
    from pose.estimators.topdown import TopDown, input_size_of
    from pose.weights.ingest import read_weights_file  # these load torch
    from pose.weights.sources import open_weights

    on = choose_device(device)
    if weights is not None:
        checkpoint = read_weights_file(weights, model)
        if "input_size" not in checkpoint.facts:
            fits = [name for name in POSE_MODELS if name.startswith(f"{checkpoint.facts['name']}-")]
            raise ValueError(
                f"{weights.name} does not tell its input's size: give --model {' or '.join(fits)}"
            )
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
    poser: coco_evaluation.Poser,
    data_set: coco.Annotations,
    tasks: Sequence[coco.Task],
    images: Path,
    batch_size: int,
    console: Console,
) -> list[dict[str, Any]]:
    import torch

    counts = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    shown = console.is_terminal  # elsewhere it would leave an empty line
    with Progress(*counts, *times, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("pictures", total=len(tasks))
        try:
            # A few batches at a time, so that few of them are not full.
            return coco_evaluation.predict(
                poser,
                data_set,
                tasks,
                images,
                boxes_at_once=4 * batch_size,
                progress=lambda done: bar.advance(task, done),
            )
        except torch.OutOfMemoryError:
            text = f"the device's memory does not hold {batch_size} crops at once"
            raise ValueError(f"{text}: choose a smaller --batch-size") from None


def _print(figures: dict[str, float]) -> None:
    """The figures in percent, as papers give them; "-" where nobody is annotated who counts."""
    table = Table(box=None, pad_edge=False)
    table.add_column("figure")
    table.add_column("%", justify="right")
    for name, value in figures.items():
        table.add_row(name, "-" if value < 0 else f"{100 * value:.1f}")
    Console(highlight=False).print(table)

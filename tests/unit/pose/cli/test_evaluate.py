"""`pose evaluate`."""

from __future__ import annotations

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from pose.cli import evaluate as coco_cli
from pose.evaluation.coco import read_annotations, true_boxes
from pose.evaluation.coco_metrics import METRICS
from pose.hrnet import build_hrnet
from pose.synthetic.coco_writer import ANNOTATIONS, IMAGES, write_coco
from tests.support.drawing import drawing, people

runner = CliRunner()
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(coco_cli.evaluate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco") / "made", 9, 120)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as HRNet's authors publish theirs, with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "pose_hrnet_w32_256x192.pth"
    torch.save(build_hrnet("w32").state_dict(), path)
    return path


@pytest.fixture
def perfect(monkeypatch, folder):
    """Instead of any weights a network that knows the truth; gives what the command asked for."""
    data_set = read_annotations(folder / ANNOTATIONS)
    asked = []

    def load(*options):
        asked.append(options)
        poser, _ = drawing(true_boxes(data_set), [points[:, :2] for points, _ in people(data_set)])
        return "perfect", poser

    monkeypatch.setattr(coco_cli, "_load", load)
    return asked


def evaluate(folder, *options, annotations=None):
    annotations = folder / ANNOTATIONS if annotations is None else annotations
    arguments = ["--annotations", annotations, "--images", folder / IMAGES, *options]
    return runner.invoke(app, list(map(str, arguments)))


def metrics_of(output):
    """The table that was printed, by its rows' names."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    rows = (line.rpartition(" ") for line in lines[1:])
    return {name.strip(): value for name, _, value in rows}


def test_it_prints_the_ten_metrics_in_percent_and_nothing_else(perfect, folder):
    done = evaluate(folder)
    assert done.exit_code == 0, done.output
    metrics = metrics_of(done.stdout)
    assert tuple(metrics) == METRICS
    assert 95 < float(metrics["AP"]) <= 100


def test_it_prints_what_is_measured_before_it_begins(perfect, folder):
    done = evaluate(folder)
    boxes = sum(len(task.boxes) for task in true_boxes(read_annotations(folder / ANNOTATIONS)))
    assert done.stderr.startswith(f"model: perfect; {boxes} annotated boxes in ")
    assert done.stderr.count("\n") == 1  # a bar is for terminals


def test_it_writes_the_keypoints_in_cocos_format(perfect, folder, tmp_path):
    out = tmp_path / "keypoints.json"
    assert evaluate(folder, "--out", out).exit_code == 0
    results = json.loads(out.read_text())
    assert {len(each["keypoints"]) for each in results} == {51}
    assert {each["category_id"] for each in results} == {1}


def test_a_detectors_boxes_replace_the_annotated_ones(perfect, folder, tmp_path):
    tasks = true_boxes(read_annotations(folder / ANNOTATIONS))
    listed = [
        {"image_id": task.image_id, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": 0.5}
        for task in tasks
        for x0, y0, x1, y1 in task.boxes.tolist()
    ]
    boxes, out = tmp_path / "boxes.json", tmp_path / "out.json"
    boxes.write_text(json.dumps(listed))
    done = evaluate(folder, "--boxes", boxes, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"{len(listed)} detected boxes" in done.stderr
    assert max(each["score"] for each in json.loads(out.read_text())) < 0.5
    assert float(metrics_of(done.stdout)["AP"]) > 95


def test_a_metric_of_which_there_are_no_people_is_a_dash(perfect, folder, tmp_path):
    record = json.loads((folder / ANNOTATIONS).read_text())
    for each in record["annotations"]:
        each["area"] = 200.0  # smaller than what COCO calls medium
    small = tmp_path / "small.json"
    small.write_text(json.dumps(record))
    metrics = metrics_of(evaluate(folder, annotations=small).stdout)
    assert metrics["AP (M)"] == metrics["AR (L)"] == "-"


def test_options_reach_the_network(perfect, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WEIGHTS_URL", str(tmp_path))
    options = ["--model", "hrnet-w32-256x192", "--device", "cpu", "--flip-test", "--batch-size", "5"]
    assert evaluate(folder, *options).exit_code == 0
    assert perfect == [("hrnet-w32-256x192", None, str(tmp_path), "cpu", True, 5)]


def test_a_file_of_random_weights_is_evaluated_and_finds_nothing(folder, weights):
    done = evaluate(folder, "--weights", weights, "--limit", 3, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "hrnet-w32-256x192 own-" in done.stderr
    assert "no flip test, on cpu" in done.stderr
    assert float(metrics_of(done.stdout)["AP"]) < 20


def test_a_file_that_does_not_tell_its_input_size_needs_the_models_name(folder, weights, tmp_path):
    mine = tmp_path / "mine.pth"
    mine.symlink_to(weights)
    done = evaluate(folder, "--weights", mine, "--device", "cpu")
    assert done.exit_code == 2
    assert "mine.pth does not tell its input size" in done.stderr
    assert "give --model hrnet-w32-384x288 or hrnet-w32-256x192" in done.stderr


def test_a_file_of_another_model_than_asked_for_is_refused(folder, weights):
    done = evaluate(folder, "--weights", weights, "--model", "hrnet-w48-256x192", "--device", "cpu")
    assert done.exit_code == 2
    assert "an HRNet of width 32, expected 48" in done.stderr


def test_missing_weights_are_an_error_with_the_command_to_get_them(folder, tmp_path):
    done = evaluate(folder, "--weights-url", tmp_path, "--device", "cpu")
    assert done.exit_code == 2
    assert "pose weights pull hrnet-w48-384x288" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "depth-hrnet"], "unknown model 'depth-hrnet', expected one of hrnet-w48-384x288"),
        (["--boxes", "none.json"], "none.json: No such file"),
        (["--images", "nowhere"], "pictures are missing, the first is 000"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--out", "no/such/folder/keypoints.json"], "cannot be written"),
        (["--out", "."], "cannot be written"),
        (["--weights", "none.pth"], "none.pth"),
    ],
)
def test_invalid_options_are_reported_before_any_work(folder, options, reason):
    done = evaluate(folder, *options)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert done.stdout == ""


def test_invalid_annotations_are_refused(folder, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    done = evaluate(folder, annotations=tmp_path / "bad.json")
    assert done.exit_code == 2
    assert "pose evaluate: bad.json: not JSON" in done.stderr


def test_the_error_for_too_little_device_memory_says_what_to_do(monkeypatch, folder):
    class Full:
        input_size = (192, 256)

        def predict(self, pictures, boxes):
            raise torch.OutOfMemoryError("…")

    monkeypatch.setattr(coco_cli, "_load", lambda *_: ("full", Full()))
    done = evaluate(folder, "--batch-size", 7)
    assert done.exit_code == 2
    assert "is too small for 7 crops at once: choose a smaller --batch-size" in done.stderr

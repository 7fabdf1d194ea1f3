"""COCO's metrics of networks that know the truth: perfect ones, and ones that miss it by a known amount."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pose.errors import InvalidPicture
from pose.evaluation.coco import InvalidDataset, detected_boxes, read_annotations, true_boxes
from pose.evaluation.coco_metrics import METRICS, evaluate, find_pictures, predict
from pose.evaluation.oks import SIGMAS
from pose.synthetic.coco_writer import ANNOTATIONS, IMAGES, write_coco
from tests.support.drawing import drawing, people

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("coco") / "made", COUNT, 70)


@pytest.fixture(scope="module")
def data_set(folder):
    return read_annotations(folder / ANNOTATIONS)


@pytest.fixture(scope="module")
def tasks(data_set):
    return true_boxes(data_set)


def metrics_with(data_set, tasks, folder, truths, **options):
    poser, _ = drawing(tasks, truths, **options)
    return evaluate(data_set, predict(poser, data_set, tasks, folder / IMAGES))


def displaced(points, area, similarity):
    """Keypoints of which each lies so far off that the person's similarity to the truth is this."""
    squared = -np.log(similarity) * 2 * area * (2 * SIGMAS) ** 2
    return points[:, :2] + np.sqrt(squared)[:, None] * (0.6, 0.8)


def test_a_perfect_network_has_nearly_full_metrics(data_set, tasks, folder):
    metrics = metrics_with(data_set, tasks, folder, [points[:, :2] for points, _ in people(data_set)])
    assert tuple(metrics) == METRICS
    assert metrics["AP"] > 0.95
    assert metrics["AP .5"] > 0.98
    assert min(metrics.values()) > 0.9


# Of the ten limits .50, .55, … .95, those up to the similarity are met.
@pytest.mark.parametrize(("similarity", "met"), [(0.925, 9), (0.725, 5), (0.525, 1), (0.4, 0)])
def test_a_network_that_is_off_by_a_known_amount_falls_as_similarity_says(
    data_set, tasks, folder, similarity, met
):
    ids = [task.image_id for task in tasks for _ in task.boxes]
    exact = [
        {
            "image_id": i,
            "category_id": 1,
            "score": 1.0,
            "keypoints": flat(displaced(points, area, similarity)),
        }
        for i, (points, area) in zip(ids, people(data_set), strict=True)
    ]
    assert evaluate(data_set, exact)["AP"] == pytest.approx(met / 10, abs=1e-9)


@pytest.mark.parametrize("crowd", [{"iscrowd": False}, {}])
def test_annotations_with_a_boolean_or_no_iscrowd_give_the_same_metrics(
    data_set, tasks, folder, tmp_path, crowd
):
    record = json.loads((folder / ANNOTATIONS).read_text())
    for each in record["annotations"]:
        assert each.pop("iscrowd") == 0
        each.update(crowd)
    (tmp_path / "annotations.json").write_text(json.dumps(record))
    other = read_annotations(tmp_path / "annotations.json")
    truths = [points[:, :2] for points, _ in people(data_set)]
    assert metrics_with(other, tasks, folder, truths) == metrics_with(data_set, tasks, folder, truths)


@pytest.mark.parametrize(("similarity", "least", "most"), [(0.725, 0.45, 0.52), (0.525, 0.05, 0.12)])
def test_it_does_so_through_crop_and_heatmap_too(data_set, tasks, folder, similarity, least, most):
    # A keypoint that is off by so much that it leaves its crop is not drawn, and is found still farther off.
    off = [displaced(points, area, similarity) for points, area in people(data_set)]
    metrics = metrics_with(data_set, tasks, folder, off)
    assert least <= metrics["AP"] <= most


def flat(points):
    return np.concatenate([points, np.full((17, 1), 0.9)], axis=1).ravel().tolist()


def test_boxes_of_all_pictures_share_batches_and_pictures_come_a_few_at_a_time(data_set, tasks, folder):
    truths = [points[:, :2] for points, _ in people(data_set)]
    poser, network = drawing(tasks, truths, batch_size=8)
    done: list[int] = []
    predict(poser, data_set, tasks, folder / IMAGES, boxes_at_once=16, progress=done.append)
    assert sum(network.batches) == sum(len(task.boxes) for task in tasks)
    assert max(network.batches) == 8
    assert network.batches.count(8) >= 2
    assert sum(done) == len(tasks)
    assert 1 < len(done) < len(tasks)


def test_the_number_of_boxes_at_a_time_does_not_change_the_result(data_set, tasks, folder):
    truths = [points[:, :2] for points, _ in people(data_set)]
    found = [
        predict(drawing(tasks, truths)[0], data_set, tasks, folder / IMAGES, boxes_at_once=count)
        for count in (1, 10, 1000)
    ]
    assert found[0] == found[1] == found[2]


def test_results_are_in_cocos_format(data_set, tasks, folder):
    truths = [points[:, :2] for points, _ in people(data_set)]
    results = predict(drawing(tasks, truths)[0], data_set, tasks, folder / IMAGES)
    assert json.loads(json.dumps(results)) == results
    for each in results:
        assert set(each) == {"image_id", "category_id", "keypoints", "score"}
        assert len(each["keypoints"]) == 51
    # True boxes have score 1, and all keypoints that lie in the crop the height of their Gaussians.
    assert np.median([each["score"] for each in results]) == pytest.approx(0.9, abs=0.05)


def test_of_boxes_around_the_same_person_one_is_kept(data_set, tasks, folder):
    twice = [
        replace(task, boxes=np.repeat(task.boxes, 2, axis=0), scores=np.tile((0.5, 0.8), len(task.boxes)))
        for task in tasks
    ]
    truths = [points[:, :2] for points, _ in people(data_set) for _ in range(2)]
    poser, _ = drawing(twice, truths)
    results = predict(poser, data_set, twice, folder / IMAGES)
    assert len(results) == sum(len(task.boxes) for task in tasks)
    assert max(each["score"] for each in results) == pytest.approx(0.8 * 0.9, abs=0.02)
    assert evaluate(data_set, results)["AP"] > 0.95


def test_boxes_of_a_detector_count_with_their_scores(data_set, tasks, folder, tmp_path):
    """Wrong boxes cost precision where they are surer than right ones, and nothing where they are not."""
    known = [points[:, :2] for points, _ in people(data_set)]
    ids = [task.image_id for task in tasks for _ in task.boxes]
    boxes = np.concatenate([task.boxes for task in tasks])

    def precision(score_of_wrong):
        path = tmp_path / "detections.json"
        right = [(i, box, 0.5) for i, box in zip(ids, boxes, strict=True)]
        wrong = [(i, box, score_of_wrong) for i, box in zip(ids, boxes, strict=True)]
        listed = [
            {"image_id": i, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
            for pair in zip(right, wrong, strict=True)
            for i, (x0, y0, x1, y1), score in pair
        ]
        path.write_text(json.dumps(listed))
        detected = detected_boxes(path, data_set)
        assert [task.image_id for task in detected] == [task.image_id for task in tasks]
        # In the wrong boxes all keypoints are found at the box's corner.
        corner = [np.tile(box[:2], (17, 1)) for box in boxes]
        truths = [truth for pair in zip(known, corner, strict=True) for truth in pair]
        return metrics_with(data_set, detected, folder, truths)["AP"]

    assert precision(0.1) > 0.95
    assert precision(0.9) < 0.6


def test_a_limited_data_set_is_evaluated_by_itself(folder):
    data_set = read_annotations(folder / ANNOTATIONS, limit=6)
    tasks = true_boxes(data_set)
    assert {task.image_id for task in tasks} <= set(range(70, 76))
    truths = [points[:, :2] for points, _ in people(data_set)]
    assert metrics_with(data_set, tasks, folder, truths)["AP"] > 0.95


def test_evaluating_changes_neither_annotations_nor_results_and_prints_nothing(
    data_set, tasks, folder, capsys
):
    truths = [points[:, :2] for points, _ in people(data_set)]
    results = predict(drawing(tasks, truths)[0], data_set, tasks, folder / IMAGES)
    before = json.dumps([data_set.record, results])
    first, second = (evaluate(data_set, results) for _ in range(2))
    assert first == second
    assert json.dumps([data_set.record, results]) == before
    assert capsys.readouterr().out == ""


def test_a_metric_without_people_is_minus_one(data_set, tasks, folder):
    truths = [points[:, :2] for points, _ in people(data_set)]
    results = predict(drawing(tasks, truths)[0], data_set, tasks, folder / IMAGES)
    large = [each for each in data_set.record["annotations"] if each["area"] > 96**2]
    metrics = evaluate(replace(data_set, record=data_set.record | {"annotations": large}), results)
    assert metrics["AP (M)"] == metrics["AR (M)"] == -1


def test_missing_pictures_are_counted_before_any_work(data_set, tasks, folder, tmp_path):
    find_pictures(data_set, tasks, folder / IMAGES)
    with pytest.raises(
        InvalidDataset, match=f"{len(tasks)} of {len(tasks)} pictures are missing, the first is 0000"
    ):
        find_pictures(data_set, tasks, tmp_path)


def test_a_picture_that_goes_missing_is_named(data_set, tasks, tmp_path):
    poser, _ = drawing(tasks, [points[:, :2] for points, _ in people(data_set)])
    with pytest.raises(InvalidDataset, match=r"^0000\d+\.jpg: No such file"):
        predict(poser, data_set, tasks, tmp_path)


def test_a_picture_of_another_size_than_annotated_is_refused(data_set, tasks, tmp_path, make_picture):
    name = data_set.pictures[tasks[0].image_id].file_name
    (tmp_path / name).write_bytes(make_picture((64, 48)))
    poser, _ = drawing(tasks, [points[:, :2] for points, _ in people(data_set)])
    with pytest.raises(InvalidPicture, match=r"size: 64x48 \(expected \d+x\d+, as the annotations say\)"):
        predict(poser, data_set, tasks, tmp_path)


def test_a_file_that_is_no_picture_is_refused(data_set, tasks, tmp_path):
    name = data_set.pictures[tasks[0].image_id].file_name
    (tmp_path / name).write_bytes(b"no picture")
    poser, _ = drawing(tasks, [points[:, :2] for points, _ in people(data_set)])
    with pytest.raises(InvalidPicture, match=f"{name}: format"):
        predict(poser, data_set, tasks, tmp_path)

"""The chain with the estimator that ships, on rendered scans and on the plush dog's."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import pose
from pose import ScanResult
from pose.analysis.frame import Options
from pose.analysis.quality import QualityLimits
from pose.cli.main import app, run_scan
from pose.detectors import build_detector
from pose.hrnet import build_hrnet
from pose.synthetic.scan_writer import write_scan
from pose.weights.store import WeightsStore
from tests.support.rendered import FIRST_SEED, rendered

DETECTOR = "ssdlite320-mobilenet-v3-large"


@pytest.fixture(scope="module")
def estimator():
    return pose.load_estimator("depth-hrnet", device="cpu")


def analysed(estimator, truth):
    (people,) = estimator.estimate([truth.frame])
    return pose.analyse_frame(truth.frame, people, options=Options(limits=QualityLimits().of(estimator)))


@pytest.mark.parametrize("posture", ["standing", "lying"])
def test_rendered_children_are_measured_and_their_faces_gone(estimator, posture):
    postures, differences, shown, covered = [], [], 0, 0
    for seed in range(FIRST_SEED + 50, FIRST_SEED + 62):
        truth = rendered(seed, posture)
        people = estimator.estimate([truth.frame])[0]
        result = analysed(estimator, truth).result
        if len(result.people) == 1:
            postures.append(result.people[0].posture == posture)
            length = result.people[0].body_length_m
            differences.append(np.nan if length is None else abs(length - truth.true_people[0].length))
        anonymised = pose.anonymise(truth.frame.rgb, people, truth.frame.depthmap, color=truth.frame.color)
        if anonymised.mask is not None:
            shown += truth.face.sum()
            covered += (truth.face & anonymised.mask).sum()
    assert len(postures) >= 10
    assert np.mean(postures) > 0.9
    assert np.nanmedian(differences) < 0.08
    assert covered >= 0.99 * shown


def test_a_scan_on_disk_goes_through_to_its_results(estimator, tmp_path):
    folder = write_scan(tmp_path / "scan-1", 900_003, "standing", frames=2, second_person=False)
    result = run_scan(folder, "scan-1", tmp_path / "out", estimator)
    assert json.loads((tmp_path / "out/result.json").read_text())["posture"] == "standing"
    assert result.model.name == "depth-hrnet"
    truth = json.loads((folder / "truth.json").read_text())["frames"][0]["people"][0]
    assert result.frames[0].people[0].body_length_m == pytest.approx(truth["body_length_m"], abs=0.15)


def test_nobody_is_found_in_the_plush_scan(estimator, plush, tmp_path):
    result = run_scan(plush, "plush", tmp_path, estimator)
    assert {frame.status.value for frame in result.frames} == {"no_person"}
    assert not list(tmp_path.rglob("*.jpg"))


def test_both_models_from_weights_in_a_folder(tmp_path):
    """Random weights find nobody; that they are taken, and told of, is what is tested."""
    torch.manual_seed(0)
    torch.save(build_hrnet("w32").state_dict(), tmp_path / "pose.pth")
    torch.save(build_detector(DETECTOR).state_dict(), tmp_path / "people.pth")
    store = WeightsStore(tmp_path / "store")
    version = store.add("hrnet-w32-256x192", tmp_path / "pose.pth", own=True)["version"]
    store.add(DETECTOR, tmp_path / "people.pth", own=True)
    write_scan(tmp_path / "scan-1", 900_003, "standing", frames=1, second_person=False)
    models = ["--model", "both", "--detector", DETECTOR, "--weights-url", str(tmp_path / "store")]
    done = CliRunner().invoke(app, ["run", str(tmp_path / "scan-1"), "--out", str(tmp_path / "out"), *models])
    assert done.exit_code == 0, done.output
    result = ScanResult.model_validate_json((tmp_path / "out/scan-1/result.json").read_text())
    assert result.model.name == "hrnet-w32-256x192"
    assert result.model.version.startswith(version)
    assert result.drift is not None
    assert result.drift.model.name == "depth-hrnet"
    assert (result.frames[0].status.value, result.drift.frames) == ("no_person", 0)

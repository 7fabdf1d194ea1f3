from __future__ import annotations

from pathlib import Path

import pytest

from worker.cli.doctor import machine
from worker.cli.doctor.finding import Level
from worker.config.settings import read_settings


def levels(findings) -> list[str]:
    return [each.level.value for each in findings]


def test_settings_that_are_set_are_shown_and_secrets_are_not(here):
    settings = read_settings(
        broker_url="redis://:hunter2@host/0", scans_xor_key="00ff00ff", max_deaths=5, arrivals_list="a:b"
    )
    shown = [each.text for each in machine.check_settings(settings)]
    assert shown[:-1] == [
        "CELERY_BROKER_URL=redis://***@host/0",
        "ARRIVALS_LIST=a:b",
        "SCANS_XOR_KEY=***",
        "MAX_DEATHS=5",
    ]
    everything = machine.settings_as_read(settings)
    assert everything["REDIS_URL"] == "redis://***@host/0"
    assert "hunter2" not in str(everything)
    assert "00ff" not in str(everything)


def test_a_package_of_another_version_is_told(monkeypatch):
    assert levels(machine.check_versions()) == ["ok"]
    monkeypatch.setattr(machine, "_version", {"celery": "5.7.0"}.get)
    told = [each.text for each in machine.check_versions() if each.level is Level.WRONG]
    assert "celery 5.7.0, expected ==5.6.3" in told
    assert any(text.startswith("torch is missing") for text in told)


def test_a_run_folder_that_cannot_be_written_is_told(here):
    settings = read_settings(run_dir=here / "file" / "run")
    (here / "file").write_text("")
    (found,) = machine.check_run_folder(settings)
    assert (found.level, "Not a directory" in found.text) == (Level.WRONG, True)
    (found,) = machine.check_run_folder(read_settings(run_dir=here / "run"))
    assert found.level is Level.OK
    assert list((here / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("device", "gpus", "torch", "level"),
    [
        ("cpu", [], "2.15.0+cpu", Level.OK),
        ("cuda:0", [], "2.15.0", Level.WRONG),
        ("cuda", ["H100"], "2.15.0+cpu", Level.WRONG),
        ("cuda", ["H100"], "2.15.0", Level.OK),
        ("auto", ["H100"], "2.15.0+cpu", Level.WARNING),
        ("auto", [], "2.15.0", Level.OK),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told(monkeypatch, here, device, gpus, torch, level):
    monkeypatch.setattr(machine, "_gpus", lambda: gpus)
    monkeypatch.setattr(machine, "_version", {"torch": torch}.get)
    (found,) = machine.check_device(read_settings(device=device))
    assert found.level is level


class TestWeights:
    @pytest.fixture
    def store(self, here) -> Path:
        folder: Path = here / "weights"
        folder.mkdir()
        return folder

    def check(self, store, **values):
        return machine.check_weights(read_settings(weights_url=f"file://{store}", **values))

    def test_without_any_the_embedded_model_is_named_and_the_face_detector_missed(self, store):
        found = self.check(store)
        assert [(each.level, each.cure) for each in found] == [
            (Level.WARNING, "run `pose weights pull yunet`"),
            (Level.OK, ""),
        ]
        assert levels(self.check(store, face_detector="haar")) == ["ok"]

    def test_those_that_a_setting_demands_are_missed(self, store):
        faces, _ = self.check(store, face_detector="yunet")
        assert (faces.level, faces.cure) == (Level.WRONG, "run `pose weights pull yunet`")
        found = self.check(store, model="hrnet-w32-256x192", face_detector="haar")
        assert [each.cure for each in found] == [
            "run `pose weights pull hrnet-w32-256x192`",
            "run `pose weights pull fasterrcnn-resnet50-fpn`",
        ]
        assert levels(self.check(store, model="both", face_detector="haar")) == ["wrong"]

    def test_a_damaged_file_is_told(self, store):
        (store / "yunet.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
        found, _ = self.check(store)
        assert (found.level, "header without digest" in found.text) == (Level.WRONG, True)

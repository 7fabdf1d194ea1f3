"""Which faces a face detector finds."""

from __future__ import annotations

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pose.evaluation import faces_found
from pose.evaluation.faces_found import face_picture, measure_row, paste
from pose.privacy.cascades import Cascades
from pose.privacy.face_detector import FaceDetector

GREY = np.full((1080, 1440, 3), 120, np.uint8)


class Finds(FaceDetector):
    """Finds what it was told."""

    name, version, head_radius = "told", "1", 1.0

    def __init__(self, *faces):
        self.faces = np.array(faces, np.float64).reshape(-1, 4)

    def find(self, rgb, turns=None, mask=None):
        return self.faces


def test_a_face_is_pasted_where_and_as_large_as_it_is_told():
    for at, pixels in [((400.0, 300.0), 100), ((1000.0, 700.0), 180)]:
        picture = paste(GREY, face_picture(), at, pixels, 0)
        (x0, y0, x1, y1) = max(Cascades().find(picture, 0), key=lambda box: box[2] - box[0])
        assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(at, abs=0.3 * pixels)
        assert y1 - y0 == pytest.approx(pixels, rel=0.3)


def test_a_tilt_turns_the_face_counter_clockwise():
    upright, tilted = (paste(GREY, face_picture(), (539.5, 539.5), 300, degrees) for degrees in (0, 90))
    square = np.s_[:, :1080]
    turned = np.rot90(upright[square])  # counter-clockwise
    assert np.abs(turned.astype(int) - tilted[square]).mean() < 2


def test_found_faces_and_boxes_elsewhere_are_counted():
    row, elsewhere = measure_row(Finds(), [GREY], 80, 0)
    assert (row.places, row.found, row.lowest, elsewhere) == (12, 0, 0, 0)
    row, elsewhere = measure_row(Finds((0, 0, 9, 9), (0, 0, 20, 20)), [GREY], 80, 0)
    assert (row.found, elsewhere) == (0, 2)


def test_the_program_prints_a_table(monkeypatch):
    monkeypatch.setattr(faces_found, "WANTED", ((160, (0,)),))
    monkeypatch.setattr(faces_found, "empty_room", lambda seed: GREY)
    app = typer.Typer()
    app.command()(faces_found.main)
    done = CliRunner().invoke(app, ["--face-detector", "haar", "--children", "0", "--rooms", "1"])
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["160", "0", "12", "of", "12", "1.00"] in lines
    assert any(line[:1] == ["haar"] for line in lines)

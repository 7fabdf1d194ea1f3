"""The evaluation of misaligned pictures changes them as it says, and tells what is noticed."""

import numpy as np
import pytest
from typer.testing import CliRunner

from pose.evaluation import alignment as evaluation
from pose.evaluation.alignment import (
    UNCHANGED,
    Measured,
    changed,
    exif_table,
    limit_for,
    measure_rendered,
    move_within,
    render_wide,
    ssim_of_edges,
    table,
)
from pose.evaluation.variants import UNVARIED, VARIANTS, crop80, mirror
from pose.synthetic.picture import render_picture
from pose.synthetic.render import render
from tests.support.rendered import with_face


def test_the_middle_of_a_wide_picture_is_the_picture_of_the_scene():
    rendering = render(900_001, "standing")
    middle = move_within(render_wide(rendering, 900_001, 0), evaluation._BORDER)(1, 0, 0)
    plain = render_picture(rendering.scene, evaluation._PICTURE, 900_001, 0).rgb
    assert middle.shape == plain.shape
    # Noise and light differ, since they are drawn for each pixel.
    assert np.abs(middle.astype(float) - plain).mean() < 6


def test_a_move_zooms_about_the_middle_and_shifts():
    wide = np.zeros((180, 240, 3), np.uint8)
    wide[90, 120] = 255  # 30 rows and 40 columns are outside: row 60 and column 80 of 120 x 160
    move = move_within(wide, (40, 30))
    assert np.argwhere(move(1, 0, 0)[..., 0] > 200).tolist() == [[60, 80]]
    assert np.argwhere(move(1, 0.1, -0.1)[..., 0] > 200).tolist() == [[44, 96]]
    wide[90, 130] = 255
    zoomed = np.argwhere(move(2, 0, 0)[..., 0] > 100)
    assert np.ptp(zoomed[:, 1]) == pytest.approx(20, abs=1)


def test_each_change_has_a_name_and_the_pictures_size():
    picture = with_face().frame.rgb
    named = dict(changed(move_within(picture, (0, 0)), np.random.default_rng(1)))
    assert {"shift 2%", "shift 10%", "zoom 1.25", "mirrored", "half turn"} <= set(named)
    assert {each.shape for each in named.values()} == {picture.shape}
    assert (named["mirrored"] == picture[:, ::-1]).all()


def test_equal_edges_have_an_ssim_of_one():
    frame = with_face().frame
    grey = np.clip(frame.depthmap.depth / 3 * 255, 0, 255).astype(np.uint8)
    assert ssim_of_edges(np.repeat(grey[..., None], 3, axis=2), frame.depthmap) == pytest.approx(1)
    assert ssim_of_edges(frame.rgb, frame.depthmap) < 0.9


def test_the_table_gives_the_share_below_the_limit_of_false_alarms():
    good, bad = [float(value) for value in range(200)], [-1.0, 0.5, 300.0, 400.0]
    measured = Measured({UNCHANGED: good, "mirrored": bad}, {UNCHANGED: good, "mirrored": bad})
    assert limit_for(good) == pytest.approx(0.995)
    lines = table(measured).splitlines()
    assert lines[0].startswith("| picture | n | ours < 0.99 | SSIM < 0.99 |")
    assert lines[2].startswith("| unchanged | 200 | 0.5% | 0.5% |")
    assert lines[3].startswith("| mirrored | 4 | 50.0% | 50.0% |")


def test_the_table_of_exif_orientations_counts_both_sides_of_doubt():
    scores = {UNCHANGED: [9.0, 9.0, 5.0, 1.0]} | {
        name: [1.0, 2.0, 4.0, 8.0] for name in evaluation.SAME_SHAPE
    }
    lines = exif_table(Measured(scores=scores)).splitlines()
    assert lines[2] == "| 2 | 50.0% | 25.0% | 25.0% |"


def test_rendered_scans_and_folders_are_measured(tmp_path):
    rendered = measure_rendered(2)
    assert {len(values) for values in rendered.margins.values()} == {2}
    assert min(rendered.margins[UNCHANGED]) > max(rendered.margins["mirrored"])
    result = CliRunner().invoke(_app(), ["--scans", "9"])
    assert result.exit_code == 2  # too few for a limit


def _app():
    import typer

    app = typer.Typer()
    app.command()(evaluation.main)
    return app


def test_variants_change_pictures_and_masks_alike():
    truth = with_face()
    frame, face = truth.frame, truth.face
    for name, variant in VARIANTS.items():
        changed_frame = variant.frame(frame)
        mask = variant.mask(face, changed_frame.exif_orientation)
        assert mask.shape == face.shape
        assert changed_frame.misaligned is (name in ("mirror", "crop80")), name
        inside = changed_frame.rgb[mask].mean(axis=0)
        assert inside == pytest.approx(frame.rgb[face].mean(axis=0), abs=12), name
    assert (UNVARIED.frame(frame).rgb == frame.rgb).all()
    assert VARIANTS["mirror:exif"].frame(frame).exif_orientation == 2


def test_a_crop_keeps_the_size():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[20:, 40:] = 255
    assert (crop80(picture) == 255).all()
    assert crop80(np.ones((100, 200), np.bool_)).dtype == np.bool_
    assert (mirror(mirror(picture)) == picture).all()

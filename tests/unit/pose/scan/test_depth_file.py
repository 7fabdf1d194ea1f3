"""Depth files are read exactly, and pixels and world points belong to each other."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pose.errors import InvalidDepthFile
from pose.geometry.depthmap import DepthMap
from pose.scan.calibration import Calibration, parse_calibration
from pose.scan.depth_file import MAX_BYTES, MAX_TRAILING, Encoding, parse_depth, write_depth

DepthBuilder = Callable[..., bytes]
ZipBuilder = Callable[..., bytes]

PHONE = (0.6786797, 0.90489584, 0.49585155, 0.5035042)
CALIBRATION = Calibration(PHONE, PHONE)
# A phone held upright that looks down a little.
TURNED = np.array([[0.0, -1, 0], [0.8, 0, -0.6], [0.6, 0, 0.8]])


def view(depth: np.ndarray, confidence: np.ndarray | None = None) -> DepthMap:
    height, width = depth.shape
    camera = CALIBRATION.depth_intrinsics(width, height)
    return DepthMap(depth.astype(np.float32), confidence, camera, TURNED, np.array([0.5, 1.2, -0.3]), True)


def slope(width: int = 24, height: int = 18) -> np.ndarray:
    return 1 + np.add.outer(np.arange(height) * 0.01, np.arange(width) * 0.005)


@pytest.fixture(scope="module")
def plush_maps(plush: Path) -> list[DepthMap]:
    calibration = parse_calibration((plush / "camera_calibration.txt").read_bytes())
    return [parse_depth(file.read_bytes(), calibration) for file in sorted((plush / "depth").iterdir())]


def test_the_plush_scan_survives_being_written(plush_maps: list[DepthMap]):
    for depthmap in plush_maps:
        again = parse_depth(write_depth(depthmap), CALIBRATION)
        assert (again.depth == depthmap.depth).all()
        assert depthmap.confidence is not None and again.confidence is not None
        assert (again.confidence == depthmap.confidence).all()
        assert np.allclose(again.points(), depthmap.points(), atol=1e-12)


def test_bytes_are_high_low_confidence_from_the_top_row(make_zip: ZipBuilder):
    data = b"2x2_0.001_7\n" + bytes([0x03, 0xE8, 7, 0, 0, 0, 0x00, 0x01, 3, 0xFF, 0xFF, 9]) + b"\0"
    depthmap = parse_depth(make_zip(data), CALIBRATION)
    assert depthmap.depth.dtype == np.float32
    assert depthmap.depth == pytest.approx(np.array([[1.0, 0], [0.001, 65.535]]))
    assert depthmap.confidence == pytest.approx(np.array([[1, 0], [3 / 7, 1]]))


def test_a_file_without_confidence_levels_has_no_confidence(make_depth: DepthBuilder):
    depthmap = parse_depth(make_depth(header=b"24x18_0.001_0\n"), CALIBRATION)
    assert depthmap.confidence is None


def test_without_a_pose_the_camera_is_at_the_origin_and_its_angle_is_not_known(make_depth: DepthBuilder):
    depthmap = parse_depth(make_depth(slope(), pose=None), CALIBRATION)
    assert not depthmap.pose_known
    assert depthmap.camera_angle_deg is None
    camera = depthmap.intrinsics
    x, y, z = depthmap.points()[4, 20]
    d = float(depthmap.depth[4, 20])
    assert (x, y, z) == pytest.approx(((20 - camera.cx) / camera.fx * d, (camera.cy - 4) / camera.fy * d, -d))


@pytest.mark.parametrize("size", [(240, 180), (180, 135), (640, 480)])
def test_all_sizes_of_devices_are_read(make_depth: DepthBuilder, size: tuple[int, int]):
    depthmap = parse_depth(make_depth(1.234, size=size), CALIBRATION)
    assert depthmap.depth.shape == size[::-1]
    assert depthmap.depth == pytest.approx(1.234)
    assert (depthmap.intrinsics.width, depthmap.intrinsics.height) == size


def test_a_few_bytes_after_the_pixels_are_ignored_but_not_many(make_depth: DepthBuilder):
    assert parse_depth(make_depth(trailing=b"\n123"), CALIBRATION).width == 24
    parse_depth(make_depth(trailing=bytes(MAX_TRAILING)), CALIBRATION)
    with pytest.raises(InvalidDepthFile, match="pixels"):
        parse_depth(make_depth(trailing=bytes(MAX_TRAILING + 1)), CALIBRATION)


@pytest.mark.parametrize("size", [b"96x73", b"97x72", b"640x480", b"8x8"])
def test_a_header_that_lies_about_the_size_is_refused(make_depth: DepthBuilder, size: bytes):
    with pytest.raises(InvalidDepthFile, match="pixels"):
        parse_depth(make_depth(header=size + b"_0.001_7\n", size=(96, 72)), CALIBRATION)


def test_a_file_without_a_line_end_is_refused(make_zip: ZipBuilder):
    with pytest.raises(InvalidDepthFile, match="header"):
        parse_depth(make_zip(b"240x180" * 1000), CALIBRATION)
    with pytest.raises(InvalidDepthFile, match="header"):
        parse_depth(make_zip(b""), CALIBRATION)


@pytest.mark.parametrize("encoding", ["zip", "ir"])
def test_a_file_that_is_too_large_is_not_opened(encoding: Encoding):
    with pytest.raises(InvalidDepthFile, match=f"at most {MAX_BYTES}"):
        parse_depth(b"PK\x03\x04" + bytes(MAX_BYTES), CALIBRATION, encoding=encoding)


def test_an_error_calls_the_file_what_the_caller_calls_it(make_zip: ZipBuilder):
    with pytest.raises(InvalidDepthFile, match=r"^depth of frame 7: "):
        parse_depth(make_zip(b""), CALIBRATION, "depth of frame 7")


# The other encoding.


def ir_pixels(size: tuple[int, int]) -> bytes:
    width, height = size
    return (np.arange(width * height) % 3000).astype("<u2").tobytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [(240, 180), (180, 135), (640, 480)])
def test_ir_files_are_little_endian_millimetres_in_an_archive_or_not(
    make_zip: ZipBuilder, size: tuple[int, int], packed: bool
):
    data = ir_pixels(size) + b"\0\0"
    depthmap = parse_depth(make_zip(data) if packed else data, CALIBRATION, encoding="ir")
    assert depthmap.depth.shape == size[::-1]
    assert depthmap.depth.flat[:3000] == pytest.approx(np.arange(3000) / 1000)
    assert depthmap.confidence is None
    assert not depthmap.pose_known


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_before_ir_pixels_counts(make_zip: ZipBuilder, packed: bool):
    data = b"30x20_0.002_7_0_0_0_1_1_2_3\n" + np.full(600, 500, "<u2").tobytes()
    depthmap = parse_depth(make_zip(data) if packed else data, CALIBRATION, encoding="ir")
    assert depthmap.depth.shape == (20, 30)
    assert depthmap.depth == pytest.approx(1.0)
    assert depthmap.pose_known


def test_the_caller_may_know_the_size_of_ir_files():
    data = ir_pixels((12, 10))
    assert parse_depth(data, CALIBRATION, encoding="ir", size=(12, 10)).width == 12
    with pytest.raises(InvalidDepthFile, match="known size"):
        parse_depth(data, CALIBRATION, encoding="ir")


def test_ir_files_cannot_be_bombs_either(make_zip: ZipBuilder):
    for data in (make_zip(bytes(10**6)), bytes(10**6), b"", make_zip(b"")):
        with pytest.raises(InvalidDepthFile):
            parse_depth(data, CALIBRATION, encoding="ir")


# Writing.


def test_equal_depth_maps_give_equal_bytes():
    assert write_depth(view(slope())) == write_depth(view(slope()))


def test_a_depth_map_without_pose_is_written_as_an_old_file():
    depthmap = DepthMap(slope().astype(np.float32), None, CALIBRATION.depth_intrinsics(24, 18))
    again = parse_depth(write_depth(depthmap), CALIBRATION)
    assert not again.pose_known
    assert again.confidence is not None and (again.confidence == 1).all()
    assert np.abs(again.depth - depthmap.depth).max() <= 0.0005 + 1e-6


def test_a_camera_at_the_origin_keeps_its_pose():
    depthmap = view(slope())
    at_origin = DepthMap(depthmap.depth, None, depthmap.intrinsics, TURNED, np.zeros(3), True)
    again = parse_depth(write_depth(at_origin), CALIBRATION)
    assert again.pose_known
    assert np.allclose(again.points(), at_origin.points(), atol=0.002)


@pytest.mark.parametrize("depth", [-0.1, 66.0, np.nan, np.inf])
def test_a_depth_that_cannot_be_written_is_refused(depth: float):
    with pytest.raises(ValueError, match="depth"):
        write_depth(view(np.full((2, 2), depth)))


def test_levels_that_do_not_fit_a_byte_are_refused():
    with pytest.raises(ValueError, match="levels"):
        write_depth(view(slope()), levels=256)


def test_a_header_of_many_pixels_with_none_after_it_allocates_nothing(make_zip: ZipBuilder):
    data = make_zip(b"1280x960_0.001_7\n")
    tracemalloc.start()
    with pytest.raises(InvalidDepthFile, match="pixels"):
        parse_depth(data, CALIBRATION)
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


def test_an_archive_in_an_archive_is_named(make_depth: DepthBuilder, make_zip: ZipBuilder):
    with pytest.raises(InvalidDepthFile, match="an archive in the archive"):
        parse_depth(make_zip(make_depth(), name="depth.depth"), CALIBRATION)
    # An `ir` file may be an archive too, with bytes before and after it.
    plain = make_zip(b"24x18_0.001_0\n" + bytes(24 * 18 * 2))
    depthmap = parse_depth(b"\n" + plain + b"\n", CALIBRATION, encoding="ir")
    assert depthmap.depth.shape == (18, 24)

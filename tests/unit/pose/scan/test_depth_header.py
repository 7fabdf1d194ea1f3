"""Headers of depth files are checked when read, and read back as written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose.errors import InvalidDepthFile
from pose.scan.depth_header import format_header, line_end, parse_header, quaternion_of, rotation_matrix

LINE = b"240x180_0.001_7_-0.15386176_0.6911723_0.6840933_-0.17500913_0.024252899_-0.09748171_0.07438941"


def with_field(index: int, value: str) -> bytes:
    fields = LINE.decode().split("_")
    fields[index] = value
    return "_".join(fields).encode()


def test_a_header_of_ten_fields_has_a_pose():
    header = parse_header(LINE, "depth")
    assert (header.width, header.height, header.scale, header.levels) == (240, 180, 0.001, 7)
    assert header.pose_known
    assert header.translation.tolist() == [0.024252899, -0.09748171, 0.07438941]
    assert np.allclose(header.rotation @ header.rotation.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(header.rotation) == pytest.approx(1)


def test_an_old_header_of_three_fields_has_no_pose():
    header = parse_header(b"180x135_0.001_255\r", "depth")
    assert (header.width, header.height, header.levels) == (180, 135, 255)
    assert not header.pose_known
    assert (header.rotation == np.eye(3)).all()
    assert not header.translation.any()


@pytest.mark.parametrize("zero", ["0_0_0", "0.0_-0.0_0", "0_0e5_.0"])
def test_a_position_of_zero_means_that_the_pose_is_unknown(zero: str):
    header = parse_header(b"240x180_0.001_7_0.1_0.2_0.3_0.9_" + zero.encode(), "depth")
    assert not header.pose_known
    assert (header.rotation == np.eye(3)).all()


def test_with_an_unknown_pose_any_rotation_is_accepted():
    assert not parse_header(b"240x180_0.001_7_0_0_0_0_0_0_0", "depth").pose_known


def test_a_quaternion_is_normalised():
    line = b"240x180_0.001_7_0_0_0_2_1_1_1"
    assert (parse_header(line, "depth").rotation == np.eye(3)).all()


@pytest.mark.parametrize(
    "line",
    [
        *(with_field(index, value) for index in (3, 6, 7, 9) for value in ("NaN", "-Infinity", "", "null")),
        *(with_field(index, "1e999") for index in (4, 9)),
        b"240x180_0.001_7" + b"_NaN" * 7,
        b"240x180_0.001_7_0_0_0_0_1_1_1",
        b"240x180_0.001_7_1e-9_0_0_0_1_1_1",
        b"240x180_0.001_7_9_9_9_9_1_1_1",
        with_field(9, "1e9"),
        b"240x180_0.001_7_1622182020448",
        LINE[: LINE.rindex(b"_")],
    ],
)
def test_a_pose_that_is_not_one_is_an_unknown_pose(line: bytes):
    header = parse_header(line, "depth")
    assert (header.width, header.scale, header.levels) == (240, 0.001, 7)
    assert not header.pose_known
    assert (header.rotation == np.eye(3)).all() and not header.translation.any()


@pytest.mark.parametrize(
    "line",
    [
        LINE + b"_1622182020448", LINE + b"_", LINE + b"_a_b_c", LINE + b"\r", b"\xef\xbb\xbf" + LINE,
        LINE.replace(b".", b","), b'"' + LINE + b'"', LINE.replace(b"_", b" _ "),
        LINE.replace(b"240x180", b"240 X 0180"), LINE.replace(b"240x180", "240×180".encode()),
        LINE.replace(b"240x180", b"240\xd7180"), LINE.decode().translate(
            str.maketrans("0123456789.", "٠١٢٣٤٥٦٧٨٩٫")).encode(),
    ],
)  # fmt: skip
def test_further_fields_and_ways_to_write_a_number_do_not_matter(line: bytes):
    header, other = parse_header(line, "depth"), parse_header(LINE, "depth")
    assert (header.width, header.height, header.scale, header.levels) == (240, 180, 0.001, 7)
    assert (header.rotation == other.rotation).all() and (header.translation == other.translation).all()


@pytest.mark.parametrize(
    ("data", "end"), [(b"a\nb", 1), (b"a\r\nb\n", 2), (b"a\rb\n", 1), (b"a", -1), (b"", -1)]
)
def test_a_line_may_end_in_three_ways(data: bytes, end: int):
    assert line_end(data) == end


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"", "header"),
        (b"240x180_0.001", "header"),
        (b"\0" + LINE, "header"),
        (with_field(0, "240"), "size"),
        (with_field(0, "0x180"), "size"),
        (with_field(0, "-240x180"), "size"),
        (with_field(0, "240x180x3"), "size"),
        (with_field(0, "40000x40000"), "size"),
        (with_field(0, "4000x4000"), "size"),
        (with_field(0, "99999999999999999999x1"), "size"),
        (with_field(1, "0"), "scale"),
        (with_field(1, "-0.001"), "scale"),
        (with_field(1, "1"), "scale"),
        (with_field(1, "nan"), "scale"),
        (with_field(1, "0x1"), "scale"),
        (with_field(2, "inf"), "largest confidence"),
        (with_field(2, "-1"), "largest confidence"),
        (with_field(2, "256"), "largest confidence"),
        (with_field(2, "0.5"), "largest confidence"),
        (with_field(2, "1e-300"), "largest confidence"),
        (with_field(4, "x"), "quaternion"),
        (with_field(5, "1,5.0"), "quaternion"),
        (with_field(7, "0x1"), "position"),
    ],
)
def test_an_error_names_the_field_that_is_wrong(line: bytes, field: str):
    with pytest.raises(InvalidDepthFile) as caught:
        parse_header(line, "depth of frame 3")
    assert caught.value.field == field
    assert str(caught.value).startswith("depth of frame 3: ")


def test_what_is_written_is_read_again():
    header = parse_header(LINE, "depth")
    again = parse_header(format_header(header).rstrip(b"\n"), "depth")
    assert np.allclose(again.rotation, header.rotation, atol=1e-15)
    assert (again.translation == header.translation).all()
    assert format_header(parse_header(b"180x135_0.001_7", "depth")) == b"180x135_0.001_7\n"


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_a_rotation_gives_back_its_quaternion_except_for_the_sign(q: tuple[float, ...]):
    quaternion = np.array(q) / np.linalg.norm(q)
    back = quaternion_of(rotation_matrix(quaternion))
    assert abs(back @ quaternion) == pytest.approx(1, abs=1e-12)

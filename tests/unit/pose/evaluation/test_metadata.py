"""Metadata of pictures is added, and found again wherever it is published."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

import pose
from pose.analysis.frame import Options
from pose.evaluation.metadata import RUN, add_metadata, count_shared_runs
from pose.privacy.redact import METHODS
from pose.scan.pictures import decode_picture, encode_jpeg
from pose.synthetic.scan_writer import encode_image, scan_files
from tests.support.rendered import KnowingEstimator, person


@pytest.fixture
def picture():
    smooth = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 3)
    return encode_image(".jpg", np.asarray(smooth, np.uint8))


def test_metadata_does_not_change_the_picture(picture):
    data, secrets = add_metadata(picture, 1)
    assert (decode_picture(data) == decode_picture(picture)).all()
    assert len(data) > len(picture) + sum(map(len, secrets))
    assert all(secret in data for secret in secrets)


def test_the_thumbnail_is_a_picture_of_its_own(picture):
    _, (exif, *_) = add_metadata(picture, 1)
    thumbnail = exif[exif.index(b"\xff\xd8\xff") :]
    assert decode_picture(thumbnail).shape == (111, 149, 3)


def test_programs_that_read_metadata_find_the_orientation(picture):
    data, _ = add_metadata(picture, 1)
    turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert turned is not None
    assert turned.shape == (320, 240, 3)


def test_what_is_shared_is_found_wherever_it_stands(picture):
    data, secrets = add_metadata(picture, 1)
    assert count_shared_runs([data], secrets) > 1000
    for secret in secrets:
        assert count_shared_runs([b"before" + secret[40 : 40 + RUN] + b"after"], secrets) == 1
        assert count_shared_runs([secret[40 : 40 + RUN - 1]], secrets) == 0


def test_the_tables_of_every_jpeg_are_no_secret(picture):
    _, secrets = add_metadata(picture, 1)
    assert count_shared_runs([encode_jpeg(decode_picture(picture))], secrets) == 0


def test_the_byte_after_those_tables_may_be_the_same_by_chance(picture):
    ours = encode_jpeg(decode_picture(picture))
    end = ours.index(b"\xff\xda") + 2 + 12  # of the header before the first of the pixels' own bytes
    tail = ours[end - RUN + 1 : end + 1]
    assert count_shared_runs([ours], [b"before" + tail + b"after"]) == 0


def test_what_flat_parts_of_any_picture_are_written_as_is_no_secret():
    flat = bytes.fromhex("45145001") * 8  # seen in a thumbnail and in a covered picture
    assert count_shared_runs([b"before" + flat], [flat + b"after"]) == 0


@pytest.fixture(scope="module")
def scan_with_metadata():
    """A scan of one frame whose picture has metadata, the metadata, and an estimator that knows the child."""
    truth: dict[str, Any] = {"frames": []}
    files: dict[str, bytes] = {}
    secrets: list[bytes] = []
    for name, data in scan_files(900_004, "standing", 1, truth=truth, second_person=False):
        if name.startswith("rgb/"):
            data, secrets = add_metadata(data, 4)
        if not name.startswith("truth"):
            files[name] = data
    ((child,),) = (frame["people"] for frame in truth["frames"])
    uv = np.array([(point["u"], point["v"]) for point in child["keypoints"]])
    scan = pose.read_scan_files(files)
    return scan, secrets, KnowingEstimator({scan.frames[0].order: [person(uv)]})


@pytest.mark.parametrize("method", METHODS)
def test_no_metadata_is_published(scan_with_metadata, method):
    scan, secrets, knowing = scan_with_metadata
    analysis = pose.analyse_scan(scan, knowing, options=Options(cover=method))
    assert analysis.result.frames[0].picture is not None
    published = [*analysis.artefacts.values(), analysis.result.model_dump_json().encode()]
    assert sum(map(len, published)) > 100_000
    assert count_shared_runs(published, secrets) == 0

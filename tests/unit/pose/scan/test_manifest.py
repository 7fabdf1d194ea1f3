"""Frames are paired by their names or by scan.json, and no name gets into an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pose.errors import InvalidManifest
from pose.scan.manifest import (
    MAX_BYTES,
    MAX_FRAMES,
    Entry,
    is_safe_path,
    manifest_from_json,
    manifest_from_names,
)


def names(*frames: str, person: str = "p1") -> list[str]:
    return [
        f"{folder}/{folder}_{person}_1622182020448_{frame}.{type}"
        for frame in frames
        for folder, type in (("rgb", "jpg"), ("depth", "depth"))
    ]


def record(**changes: Any) -> bytes:
    artifacts = [
        {"id": "a", "order": 2, "file": "rgb/b.jpg", "format": "image/jpeg", "timestamp": "…"},
        {"id": "b", "order": 2, "file": "depth/b.depth", "format": "application/zip"},
        {"id": "c", "order": 1, "file": "depth/a.depth", "format": "depth"},
        {"id": "d", "order": 1, "file": "rgb/a.jpg", "format": "rgb"},
        {"id": "e", "file": "cloud.pcd", "format": "pcd"},
    ]
    return json.dumps({"id": "s", "type": 200, "version": "v0.7", "artifacts": artifacts} | changes).encode()


# From names.


def test_frames_are_in_the_order_of_their_numbers_not_of_their_names():
    found = manifest_from_names(names("100_10", "100_9", "100_101"))
    assert [entry.order for entry in found.entries] == [0, 1, 2]
    assert [entry.rgb[-7:] for entry in found.entries if entry.rgb] == ["0_9.jpg", "_10.jpg", "101.jpg"]
    assert all(entry.depth and entry.step == 100 for entry in found.entries)
    assert found.encoding == "zip"


@pytest.mark.parametrize("person", ["a_b", "_", "1_2_3_4", "ä ö", "x.jpg", "100_1", "a\nb", "(1)"])
def test_a_persons_code_may_contain_anything(person: str):
    (entry,) = manifest_from_names(names("104_7", person=person)).entries
    assert entry.step == 104
    assert entry.rgb and entry.depth


def test_a_frame_with_only_one_file_keeps_its_order():
    found = manifest_from_names(names("100_1", "100_2", "100_3")[:3] + names("100_3"))
    assert [entry.order for entry in found.entries] == [0, 1, 2]
    assert [entry.depth is None for entry in found.entries] == [False, True, False]


def test_other_files_are_ignored():
    others = ["rgb/.DS_Store", "rgb/rgb_p_1_100.jpg", "rgb/rgb_p_1_100_9.txt"]
    others += ["rgb/depth_p_1_100_9.depth", "x/rgb_p_1_100_9.jpg", "rgb_p_1_100_9.jpg"]
    assert len(manifest_from_names(names("100_1") + others).entries) == 1


def test_steps_may_differ_between_frames_and_need_not_be_known():
    found = manifest_from_names(names("100_1", "201_2", "105_3", "0_4", "999999999_5"))
    assert [entry.step for entry in found.entries] == [100, 201, 105, 0, 999_999_999]


def test_no_names_and_too_many_are_refused():
    with pytest.raises(InvalidManifest, match="none"):
        manifest_from_names(["camera_calibration.txt", "rgb/holiday.jpg"])
    with pytest.raises(InvalidManifest, match=f"at most {MAX_FRAMES}"):
        manifest_from_names(names(*[f"100_{frame}" for frame in range(MAX_FRAMES + 1)]))


# From scan.json.


def test_artefacts_of_one_order_make_a_frame():
    found = manifest_from_json(record())
    assert found.entries == (
        Entry(1, 200, "rgb/a.jpg", "depth/a.depth"),
        Entry(2, 200, "rgb/b.jpg", "depth/b.depth"),
    )


@pytest.mark.parametrize(
    ("version", "encoding"),
    [("v0.7", "zip"), ("ir", "ir"), ("ir_1.0", "ir"), ("fir", "zip"), (None, "zip"), (7, "zip")],
)
def test_the_version_tells_how_depth_is_encoded(version: Any, encoding: str):
    assert manifest_from_json(record(version=version)).encoding == encoding


def test_files_may_lie_in_the_folders_or_beside_the_record():
    artifacts = [{"order": 0, "file": "x", "format": "rgb"}, {"order": 0, "file": "y", "format": "depth"}]
    present = {"x", "depth/y"}
    (entry,) = manifest_from_json(record(artifacts=artifacts), present.__contains__).entries
    assert (entry.rgb, entry.depth) == ("x", "depth/y")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"type": -1}, "type"),
        ({"type": 10**9}, "type"),
        ({"type": "200"}, "type"),
        ({"type": None}, "type"),
        ({"type": True}, "type"),
        ({"type": 200.0}, "type"),
        ({"artifacts": []}, "artifacts"),
        ({"artifacts": {}}, "artifacts"),
        ({"artifacts": ["x"]}, "artifacts"),
        ({"artifacts": [{"format": "pcd"}]}, "artifacts"),
        ({"artifacts": [{"format": "pcd"}] * 5000}, "artifacts"),
        ({"artifacts": [{}] * 5000}, "format"),
        ({"artifacts": [{"order": 1, "file": "a"}]}, "format"),
        ({"artifacts": [{"format": "rgb", "file": "a"}]}, "order"),
        ({"artifacts": [{"format": "rgb", "file": "a", "order": -1}]}, "order"),
        ({"artifacts": [{"format": "rgb", "file": "a", "order": 10**30}]}, "order"),
        ({"artifacts": [{"format": "rgb", "file": "a", "order": n} for n in range(101)]}, "frames"),
    ],
)
def test_an_error_names_the_field_that_is_wrong(changes: dict[str, Any], field: str):
    with pytest.raises(InvalidManifest) as caught:
        manifest_from_json(record(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b"[" * 10**5, b"9" * 5000, b"\xff\xfe\x00", b" " * (MAX_BYTES + 1)],
    ids=range(8),
)
def test_what_is_not_a_record_is_refused(data: bytes):
    with pytest.raises(InvalidManifest):
        manifest_from_json(data)


@pytest.mark.parametrize("file", ["../x", "/x", "a//b", "a/../../x", "", None, 5, "\ud800", "x" * 600])
def test_a_file_outside_the_scan_breaks_only_its_frame(file: Any):
    artifacts = json.loads(record())["artifacts"]
    artifacts[0]["file"] = file
    first, second = manifest_from_json(record(artifacts=artifacts)).entries
    assert first.problem is None
    assert second.problem is not None and "rgb" in second.problem


def test_two_pictures_of_one_order_break_their_frame():
    artifacts = [*json.loads(record())["artifacts"], {"order": 1, "file": "rgb/c.jpg", "format": "rgb"}]
    first, second = manifest_from_json(record(artifacts=artifacts)).entries
    assert first.problem == "more than one rgb"
    assert second.problem is None


def test_plain_relative_names_are_safe():
    assert is_safe_path("rgb/a.jpg") and is_safe_path("a b/ä.jpg") and is_safe_path("..a")
    assert not is_safe_path("a\0b") and not is_safe_path(b"a")

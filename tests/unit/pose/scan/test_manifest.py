"""Frames are found by the names of their files or by scan.json, and no name gets into an error."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from pose.errors import InvalidManifest
from pose.scan.manifest import Entry, Manifest, manifest_from_json, manifest_from_names
from pose.scan.names import fold
from pose.scan.pairing import MAX_FRAMES


def names(*frames: str, person: str = "p1") -> list[str]:
    return [
        f"{folder}/{folder}_{person}_1622182020448_{frame}.{type}"
        for frame in frames
        for folder, type in (("rgb", "jpg"), ("depth", "depth"))
    ]


def timed(step: int = 104, **times: str) -> list[str]:
    """The names that Tango devices give: p… are pictures, d… depth maps."""
    return [
        f"rgb/rgb_P-1_1591550095148_{step}_{time}.jpg"
        if key.startswith("p")
        else f"depth/depth_P-1_1591550095148_{step}_0_{time}.depth"
        for key, time in times.items()
    ]


def pairs(manifest: Manifest) -> list[tuple[str | None, str | None]]:
    """The ends of the names of each frame."""

    def end(name: str | None) -> str | None:
        return None if name is None else name.rsplit("_", 1)[1].rsplit(".", 1)[0]

    return [(end(entry.rgb), end(entry.depth)) for entry in manifest.entries]


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


def test_other_files_are_ignored_and_told():
    others = ["rgb/.DS_Store", "rgb/Thumbs.db", "rgb/rgb_p_1_100.jpg", "rgb/rgb_p_1_100_9.txt", "notes.txt"]
    found = manifest_from_names(names("100_1") + others + ["x/rgb_p_1_100_9.jpg"])
    assert pairs(found) == [("1", "1")]
    assert found.ignored == ("scan: files: 3 files not recognised, such as rgb/rgb_….jpg",)
    assert manifest_from_names(names("100_1") + others[:2]).ignored == ()


def test_a_file_that_lies_there_is_not_called_missing():
    files = names("100_1", "100_2")
    found = manifest_from_names([name.replace("2.jpg", "2.webp") for name in files])
    first, second = found.entries
    assert first.problem is None
    told = "1 file not recognised, such as rgb/rgb_….webp"
    assert second.problem == f"rgb of frame 1: file: not found by its name; {told}"


def test_a_file_in_another_folder_is_not_called_missing():
    files = [*names("100_1")[:1], "tof/", "__MACOSX/"]
    told = "depth of frame 0: file: not found by its name; 1 other folder not read"
    assert manifest_from_names(files).entries[0].problem == told
    assert manifest_from_names([*names("100_1"), "tof/"]).ignored == ()


def test_copies_of_a_file_stand_in_for_it_and_are_told_beside_it():
    files = names("100_1", "100_2")
    copies = [files[0].replace(".jpg", " (1).jpg"), files[3].replace(".depth", "(2).depth")]
    alone = manifest_from_names([*copies, *files[1:3]])
    assert alone.entries[0].rgb == copies[0] and alone.entries[1].depth == copies[1]
    assert alone.ignored == ()
    both = manifest_from_names([*copies, *files])
    assert both.entries == manifest_from_names(files).entries
    assert both.ignored == ("scan: files: 2 files not needed: the frame has another one",)


def test_names_with_times_are_paired_by_the_nearest():
    found = manifest_from_names(
        timed(p1="668549.914277", d1="668550.013787", p2="668550.20", d2="668550.19", p3="668550.29")
    )
    assert pairs(found) == [
        ("668549.914277", "668550.013787"),
        ("668550.20", "668550.19"),
        ("668550.29", None),
    ]
    assert [entry.order for entry in found.entries] == [0, 1, 2]
    assert found.entries[2].problem == "depth of frame 2: file: no depth map within 0.1 s of the picture"


def test_a_depth_map_without_a_picture_in_time_is_told():
    found = manifest_from_names(timed(p1="10.0", d1="10.11"))
    assert pairs(found) == [("10.0", None), (None, "10.11")]
    assert found.entries[1].problem == "rgb of frame 1: file: no picture within 0.1 s of the depth map"


def test_files_of_different_steps_are_no_pair():
    found = manifest_from_names(timed(p1="10.0") + timed(step=101, d1="10.0"))
    assert sorted(pairs(found), key=str) == [("10.0", None), (None, "10.0")]


@pytest.mark.parametrize(
    "files",
    [
        names("100_10", "100_9", "101_9"),
        timed(p1="10.0", p2="10.05", p3="10.1", d1="10.02", d2="10.03", d3="10.08", d4="10.5"),
        [*timed(p1="10.0", p2="10.1", d1="10.05", d2="10.05000"), *timed(p3="10.00", d3="10.1")],
        [
            *names("100_1", "100_2"),
            *(name.replace("rgb/", "RGB/").replace("depth/", "") for name in names("100_1", "100_3")),
            *(name.replace(".jpg", ".png").replace(".depth", " (1).depth") for name in names("100_1")),
            "rgb/b.webp",
            "rgb/a.heic",
            "rgb/c",
        ],
    ],
)
def test_frames_do_not_depend_on_the_order_in_which_files_are_listed(files: list[str]):
    rng = random.Random(3)
    found = manifest_from_names(files)
    for _ in range(30):
        rng.shuffle(files)
        assert manifest_from_names(files) == found


def test_files_of_two_scans_are_refused():
    with pytest.raises(InvalidManifest, match="2 persons"):
        manifest_from_names(names("100_1") + names("100_1", person="p2"))
    with pytest.raises(InvalidManifest, match="60 s apart"):
        manifest_from_names([*names("100_1"), "rgb/rgb_p1_1622182080449_100_2.jpg"])


def test_steps_may_differ_between_frames_and_need_not_be_known():
    found = manifest_from_names(names("100_1", "201_2", "105_3", "0_4", "999999999_5"))
    assert [entry.step for entry in found.entries] == [100, 201, 105, 0, 999_999_999]


def test_no_names_and_too_many_are_refused():
    with pytest.raises(InvalidManifest, match="none"):
        manifest_from_names(["camera_calibration.txt", "rgb/holiday.jpg"])
    with pytest.raises(InvalidManifest, match=r"none; 2 files not recognised, such as rgb/rgb_….webp"):
        manifest_from_names(["rgb/rgb_Zoë_1_104_1.webp", "rgb/x.webp"])
    with pytest.raises(InvalidManifest, match="none; 1 other folder not read"):
        manifest_from_names(["scan/", "notes.txt"])
    with pytest.raises(InvalidManifest, match=f"at most {MAX_FRAMES}"):
        manifest_from_names(timed(104, **{f"p{n}": f"1.{n}" for n in range(100, 2 * MAX_FRAMES + 1)}))
    with pytest.raises(InvalidManifest, match=f"at most {MAX_FRAMES}"):
        manifest_from_names(names(*[f"100_{frame}" for frame in range(MAX_FRAMES + 1)]))


# From scan.json.


def artefacts() -> list[dict[str, Any]]:
    return [
        {"id": "a", "order": 2, "file": "rgb/b.jpg", "format": "image/jpeg", "timestamp": "…"},
        {"id": "b", "order": 2, "file": "depth/b.depth", "format": "application/zip"},
        {"id": "c", "order": 1, "file": "depth/a.depth", "format": "depth"},
        {"id": "d", "order": 1, "file": "rgb/a.jpg", "format": "rgb"},
        {"id": "e", "file": "cloud.pcd", "format": "pcd"},
    ]


def record(*more: dict[str, Any], **changes: Any) -> bytes:
    """A scan.json of two frames, and more entries."""
    entries = [*artefacts(), *more]
    return json.dumps({"id": "s", "type": 200, "version": "v0.7", "artifacts": entries} | changes).encode()


FRAMES = (Entry(1, 200, "rgb/a.jpg", "depth/a.depth"), Entry(2, 200, "rgb/b.jpg", "depth/b.depth"))


def test_artefacts_of_one_order_make_a_frame():
    assert manifest_from_json(record()) == Manifest(FRAMES, version="v0.7")


@pytest.mark.parametrize(
    ("version", "encoding"),
    [
        ("v0.7", "zip"),
        ("ir", "ir"),
        ("ir_1.0", "ir"),
        (" IR-1.0", "ir"),
        ("fir", "zip"),
        (None, "zip"),
        (7, "zip"),
    ],
)
def test_the_version_tells_how_depth_is_encoded(version: Any, encoding: str):
    assert manifest_from_json(record(version=version)).encoding == encoding


@pytest.mark.parametrize(
    ("file", "stored"),
    [
        ("x", "x"),
        ("y", "rgb/y"),
        ("RGB/Y", "rgb/y"),
        ("rgb\\y", "rgb/y"),
        ("z 1.JPG", "rgb/z 1.jpg"),
        ("rgb%2Fz%201.jpg", "rgb/z 1.jpg"),
        ("100%.jpg", "100%.jpg"),
        ("zoe\u0308.jpg", "zoë.jpg"),
        ("gone", "gone"),
    ],
)
def test_a_file_is_found_however_its_path_is_written(file: str, stored: str):
    there = {fold(name): name for name in ("x", "rgb/x", "rgb/y", "rgb/z 1.jpg", "100%.jpg", "zoë.jpg")}
    entries = [{"order": 0, "file": file, "format": "rgb"}]
    (entry,) = manifest_from_json(record(artifacts=entries), lambda name: there.get(fold(name))).entries
    assert entry.rgb == stored


def test_a_path_that_leads_out_when_it_is_decoded_is_not_decoded():
    entries = [{"order": 0, "file": "..%2Fx", "format": "rgb"}]
    (entry,) = manifest_from_json(record(artifacts=entries), lambda name: None).entries
    assert entry.rgb == "..%2Fx"


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"format": "rgb", "order": None, "file": "rgb/c.jpg"},
        {"format": None, "order": "x", "file": "rgb/c.jpg"},
        {"format": "rgb", "order": 1, "file": "../c.jpg"},
        {"format": "depth", "order": 2.0},
    ],
)
def test_a_bad_entry_costs_itself_and_is_told(entry: Any):
    found = manifest_from_json(record(entry))
    assert found.entries == FRAMES
    assert len(found.ignored) == 1 and found.ignored[0].startswith("scan.json: artifacts[5]: ")


@pytest.mark.parametrize("file", ["../x", "/x", "//x", "a/../../x", "", None, 5, "\ud800", "x" * 600])
def test_a_frame_whose_file_is_outside_the_scan_is_broken_alone(file: Any):
    entries = artefacts()
    entries[0]["file"] = file
    found = manifest_from_json(record(artifacts=entries))
    first, second = found.entries
    assert first == FRAMES[0]
    told = "scan.json: frame 2: no picture; scan.json: artifacts[0]: file: "
    assert second.problem is not None and second.problem.startswith(told)
    assert found.ignored == ()


def test_a_frame_of_bad_entries_alone_is_broken():
    found = manifest_from_json(
        record({"order": "3", "format": None}, {"order": 3, "format": "rgb", "file": 5})
    )
    assert found.entries[:2] == FRAMES
    assert found.entries[2].problem is not None and "artifacts[5]: format" in found.entries[2].problem


def test_a_file_whose_entry_belongs_to_no_frame_is_not_called_missing():
    entries = artefacts()
    del entries[1]["order"]
    found = manifest_from_json(record(artifacts=entries))
    assert found.entries[0] == FRAMES[0]
    lost = "scan.json: artifacts[1]: order: missing or out of range (expected 0 to 999999)"
    assert found.entries[1].problem == f"scan.json: frame 2: no depth map; {lost}"
    assert found.ignored == (lost,)


def test_a_file_of_another_format_is_not_called_missing():
    entries = [*artefacts()[:4], {"order": 3, "format": "rgb", "file": "c.jpg"}]
    found = manifest_from_json(record(artifacts=[*entries, {"order": 3, "format": "pcd", "file": "c.pcd"}]))
    assert found.entries[2].problem == "scan.json: frame 3: no depth map, but a file of another format"
    assert manifest_from_json(record(artifacts=entries)).entries[2].problem is None


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        (["x"], "artifacts"),
        ([{"format": "pcd"}], "artifacts"),
        ([{"order": 1, "file": "a"}], "format"),
        ([{"format": "rgb", "file": "a"}], "order"),
        ([{"format": "rgb", "file": "a", "order": -1}], "order"),
        ([{"format": "rgb", "file": "/a", "order": 1}], "file"),
        ([{"format": "rgb", "file": "a", "order": n} for n in range(101)], "frames"),
    ],
)
def test_a_record_without_a_usable_entry_is_refused_with_the_first_reason(entries: list[Any], field: str):
    with pytest.raises(InvalidManifest) as caught:
        manifest_from_json(record(artifacts=entries))
    assert caught.value.field == field


def listed(**times: Any) -> list[dict[str, Any]]:
    """Entries of one order: p… are pictures, d… depth maps."""
    return [
        {"order": 5, "format": "rgb" if name[0] == "p" else "depth", "file": name, "timestamp": time}
        for name, time in times.items()
    ]


def chosen(entries: list[dict[str, Any]]) -> tuple[str | None, str | None]:
    (entry,) = manifest_from_json(record(artifacts=entries)).entries
    return entry.rgb, entry.depth


@pytest.mark.parametrize(
    ("entries", "pair"),
    [
        (listed(p1=1000.0, p2=1000.4, p3=1000.9, d=1000.5), ("p2", "d")),
        (listed(p1=1000.0, d1=1000.9, d2=1000.2), ("p1", "d2")),
        (listed(p1=None, p2=1000.4, d=1000.5), ("p2", "d")),
        (listed(p1="1970-01-01T00:16:40.4Z", p2=1000400, p3="1970-01-01 00:16:41", d=1000.5), ("p1", "d")),
        # As milliseconds.
        (listed(p1=1_600_000_000_100, p2=1_600_000_000_400, d="2020-09-13T12:26:40.5Z"), ("p2", "d")),
        # The same file once more, without a time.
        ([*listed(p1=1000.0, p2=None, d=1000.5), *listed(p2=1000.4, p1=None)], ("p2", "d")),
        # Equally near: it does not matter which, but it is always the same.
        (listed(p2=1000.6, p1=1000.4, d=1000.5), ("p1", "d")),
    ],
)
def test_of_several_pictures_of_one_order_the_nearest_in_time_counts(entries: Any, pair: tuple[str, str]):
    for _ in range(5):
        assert chosen(entries) == pair
        random.Random(4).shuffle(entries)


def test_the_times_in_names_count_where_the_record_has_none():
    files = timed(p1="10.0", p2="10.3", d="10.2")
    entries = listed(**dict.fromkeys(files))
    for entry in entries:
        entry["format"] = entry["file"].split("/")[0]
    assert chosen(entries) == (files[1], files[2])


def test_without_times_names_that_are_alike_count():
    assert chosen([*artefacts()[:2], {**artefacts()[3], "order": 2}]) == ("rgb/b.jpg", "depth/b.depth")
    files = names("100_1")
    entries = [{"order": 1, "format": name.split("/")[0], "file": name} for name in files]
    assert chosen([{"order": 1, "format": "rgb", "file": "rgb/a.jpg"}, *entries]) == tuple(files)


@pytest.mark.parametrize("time", [None, 5.0, "…"])
def test_a_frame_of_which_nothing_tells_what_belongs_together_is_broken(time: Any):
    entries = listed(p1=time, p2=time, d=1000.0)
    (entry,) = manifest_from_json(record(artifacts=entries)).entries
    assert (
        entry.problem == "scan.json: frame 5: 2 pictures and 1 depth map; nothing tells which belong together"
    )


def test_a_frame_of_very_many_files_is_not_read():
    entries = listed(**{f"p{n}": n for n in range(2000)}, **{f"d{n}": n for n in range(2000)})
    (entry,) = manifest_from_json(record(artifacts=entries)).entries
    told = "2000 pictures and 2000 depth maps; expected at most 100 of each"
    assert entry.problem == f"scan.json: frame 5: {told}"


def test_an_entry_that_is_there_twice_is_one():
    assert manifest_from_json(record(*artefacts())) == Manifest(FRAMES, version="v0.7")


def test_files_that_are_not_needed_are_told():
    found = manifest_from_json(record({"order": 1, "format": "rgb", "file": "rgb/b.jpg"}))
    assert found.entries == FRAMES
    assert found.ignored == ("scan.json: 1 file not needed: the frame has another one",)


def test_a_missing_file_costs_nothing_where_another_is_there():
    there = ("rgb/a.jpg", "rgb/b.jpg", "depth/a.depth", "depth/b.depth")
    more = {"order": 1, "format": "rgb", "file": "rgb/gone.jpg"}
    found = manifest_from_json(record(more), lambda name: name if name in there else None)
    assert found.entries == FRAMES
    assert len(found.ignored) == 1


def test_a_record_of_files_of_two_scans_is_refused():
    def of(*files: str) -> bytes:
        entries = [
            {"order": n // 2, "format": name.split("/")[0], "file": name} for n, name in enumerate(files)
        ]
        return record(artifacts=entries)

    assert len(manifest_from_json(of(*names("100_1", "100_2"))).entries) == 2
    with pytest.raises(InvalidManifest, match="2 persons"):
        manifest_from_json(of(*names("100_1"), *names("100_2", person="p2")))

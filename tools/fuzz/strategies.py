"""Inputs that hypothesis makes without a seed: close to the format, so that they pass the first check."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tools.fuzz import seeds
from tools.fuzz.archives import pack_zip
from tools.fuzz.mutations import NUMBERS, TEXTS

binaries: Final = st.binary(max_size=300)
_numbers: Final[SearchStrategy[bytes]] = (
    st.sampled_from(NUMBERS)
    | st.floats(-1, 1).map(lambda value: repr(value).encode())
    | st.floats().map(lambda value: repr(value).encode())
    | st.integers(-5, 5000).map(lambda value: b"%d" % value)
)
_sides: Final = st.sampled_from((0, 1, 2, 3, 8, 24)) | st.integers(0, 70_000)
_texts: Final = st.sampled_from(TEXTS) | st.text(max_size=20)
_scalars: Final = st.none() | st.booleans() | st.integers() | st.floats() | _texts

values: Final[SearchStrategy[Any]] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _fields(parts: list[bytes], width: int, height: int) -> bytes:
    return b"_".join([b"%dx%d" % (width, height), *parts])


_counted: Final = st.sampled_from((2, 9)).flatmap(lambda n: st.lists(_numbers, min_size=n, max_size=n))
headers: Final = (
    st.builds(_fields, _counted, _sides, _sides)
    | st.lists(_numbers | binaries, max_size=12).map(b"_".join)
)  # fmt: skip
_contents: Final = st.builds(
    lambda header, pixels, more: header + b"\n" + bytes(pixels) + more,
    headers,
    st.sampled_from((0, 3, 12, 27, 192, 1296)),
    st.binary(max_size=20),
)
archives: Final = (st.binary(max_size=2000) | _contents).map(pack_zip) | binaries
depths: Final = _contents.map(pack_zip) | _contents | binaries

_labels: Final = st.sampled_from(
    (
        b"Color camera intrinsic:",
        b"Depth camera intrinsic:",
        b"Depth camera position:",
        b" colour camera intrinsic",
    )
)
_ends: Final = st.sampled_from((b"\n", b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xc2\x85"))
_lines: Final = st.lists(_numbers, min_size=3, max_size=4).map(b" ".join)
calibrations: Final = (
    st.lists(st.tuples(_labels | binaries, _ends, _lines, _ends).map(b"".join), max_size=4).map(b"".join)
    | st.lists(_lines, min_size=3, max_size=3).map(
        lambda lines: b"%b\n".join((b"color camera intrinsic\n", b"depth camera intrinsic\n",
                                    b"depth camera position\n", b"")) % (*lines,)
    )
)  # fmt: skip

_artefacts: Final = st.fixed_dictionaries(
    {
        "order": st.integers(0, 4) | st.sampled_from((1.0, "1", "2,0")) | _scalars,
        "format": st.sampled_from(("rgb", "depth", "Image/JPG", "application/zip", "other")) | _scalars,
    },
    optional={
        "file": st.sampled_from((*seeds.artefact_names(1), *seeds.artefact_names(2))) | _texts,
        "timestamp": st.floats(0, 100) | st.datetimes().map(str) | _scalars,
    },
)
manifests: Final = (
    st.fixed_dictionaries(
        {
            "type": st.sampled_from((100, 204)) | _scalars,
            "artifacts": st.lists(_artefacts | values, max_size=8),
        },
        optional={"version": st.sampled_from(("v1", "ir_2")) | values},
    ).map(to_json)
    | values.map(to_json)
    | binaries
)

_parts: Final = (
    st.sampled_from(("rgb", "depth", "/", "_", ".", "jpg", "depth", "100", "204", "1", "", "é")) | _texts
)
_artefact_names: Final = st.builds(
    lambda kind, person, ms, step, frame, end: f"{kind}/{kind}_{person}_{ms}_{step}_{frame}.{end}",
    st.sampled_from(("rgb", "depth")), _parts, st.integers(0), st.sampled_from((100, 204)) | st.integers(),
    st.integers(0, 3) | st.integers(), st.sampled_from(("jpg", "png", "depth", "jpeg")),
)  # fmt: skip
_timed_names: Final = st.builds(
    lambda kind, index, time, end: f"{kind}/{kind}_p_1622182020448_100_{index}{time}.{end}",
    st.sampled_from(("rgb", "depth")), st.sampled_from(("", "0_")),
    st.decimals(0, 3, places=2).map(str) | st.decimals(allow_nan=False).map(str),
    st.sampled_from(("jpg", "JPG", "depth")),
)  # fmt: skip
_names: Final = st.lists(
    _artefact_names | _timed_names | st.lists(_parts, max_size=12).map("".join), max_size=12
)
names: Final = _names.map(lambda found: "\n".join(found).encode("utf-8", "surrogatepass"))

_whole: Final = seeds.scan_files(2)
scans: Final = st.builds(
    lambda kept, changed: to_json({**{name: _whole[name] for name in kept}, **changed}),
    st.sets(st.sampled_from(sorted(_whole))),
    st.dictionaries(
        st.sampled_from((*_whole, "scan.json")) | _texts,
        (manifests | depths).map(lambda data: data.decode("latin-1")),
    ),
)

_tensors: Final = st.fixed_dictionaries(
    {"dtype": st.sampled_from(("F32", "U8", "BOOL", "BF16", "F8_E4M3", "F4", "C64", "F6_E2M3")) | _texts,
     "shape": st.lists(st.integers(0, 5) | st.integers(), max_size=4),
     "data_offsets": st.lists(st.sampled_from((0, 4, 8, 160)) | st.integers(), min_size=2, max_size=2)},
)  # fmt: skip
_facts: Final = st.dictionaries(st.sampled_from(("name", "version", "variant")) | _texts, _texts | _scalars)
safetensors: Final = (
    st.builds(lambda facts, tensors: to_json({"__metadata__": facts, **tensors}), _facts,
              st.dictionaries(_texts, _tensors | values, max_size=3))
    | values.map(to_json)
).map(lambda header: struct.pack("<Q", len(header)) + header + bytes(160)) | binaries  # fmt: skip

_ids: Final = st.just(seeds.SCAN_ID) | values
messages: Final = st.one_of(st.fixed_dictionaries({"scan_id": _ids}), st.lists(_ids), values).map(to_json)
_record: Final = st.fixed_dictionaries(
    {"eventName": st.sampled_from(("ObjectCreated:Put", "s3:ObjectRemoved:Delete")) | values,
     "s3": st.fixed_dictionaries({
         "bucket": st.fixed_dictionaries({"name": st.just("scans") | values}),
         "object": st.fixed_dictionaries({"key": _texts.map("in/{}".format) | values}),
     }) | values},
    optional={"eventSource": st.just("ceph:s3") | values},
)  # fmt: skip
_records: Final = st.lists(_record | values, max_size=3)
arrivals: Final = st.one_of(
    st.fixed_dictionaries({"scan_id": _ids}),
    st.fixed_dictionaries({"scan_ids": st.lists(_ids, max_size=3) | values}),
    st.fixed_dictionaries({"Records": _records | values}),
    st.lists(st.fixed_dictionaries({"Event": _records | values}), max_size=3),
    st.fixed_dictionaries({"key": _texts.map("/buckets/scans/in/{}".format) | values,
                           "event_type": st.just("create") | values, "message": values}),
    values,
).map(to_json)  # fmt: skip
statuses: Final = (
    st.fixed_dictionaries(
        {"scan_id": _ids, "status": st.sampled_from(("queued", "failed")) | values,
         "updated_at": st.datetimes().map(str) | st.just("2024-05-01T10:00:00Z") | values},
        optional={"stage": values, "frames": values, "attempt": values, "queued_at": values},
    ) | values
).map(to_json)  # fmt: skip
envelopes: Final = (
    st.fixed_dictionaries({
        "body": st.just("W10=") | values, "headers": st.just({}) | values,
        "properties": st.fixed_dictionaries(
            {"delivery_info": values, "delivery_tag": values},
            optional={"body_encoding": st.just("base64") | values, "delivery_mode": values},
        ) | values,
    }, optional={"content-type": values, "content-encoding": values}) | values
).map(to_json) | binaries  # fmt: skip

"""Valid inputs to start from, as a phone, a backend or a queue writes them.

`CODE` stands for a person's code: no error may repeat it.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from typing import Any, Final

import cv2
import numpy as np

from pose.keypoints import NAMES as KEYPOINTS
from pose.scan.scrambling import xor
from tools.fuzz.archives import pack_any_zip, pack_zip
from tools.fuzz.mutations import Seed, change_bytes, change_json, fix_png

CODE: Final = "Kinderkennung"
SCAN_ID: Final = "scan-0001"
XOR_KEY: Final = bytes.fromhex("5aff0013c7")

CALIBRATION: Final = b"""Color camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
Depth camera intrinsic:
0.6786797 0.90489584 0.49585155 0.5035042
Depth camera position:
0 0 0
"""
POSE: Final = b"-0.15386176_0.6911723_0.6840933_-0.17500913_0.024252899_-0.09748171_0.07438941"

HEADERS: Final = (
    Seed(b"240x180_0.001_7_" + POSE),
    Seed(b"180x135_0.001_255"),
    Seed(b"640x480_0.0005_7_0_0_0_1_0_0_0"),
    Seed(b"240x180_0,001_7_" + POSE.replace(b".", b",") + b"_1622182020448"),
    Seed(b"240x180_0.001_7_NaN_NaN_NaN_NaN_Infinity__null"),
)

CALIBRATIONS: Final = (
    Seed(CALIBRATION),
    Seed(b"\xef\xbb\xbf" + CALIBRATION.replace(b"\n", b"\r\n").replace(b"Color", b"colour")),
    Seed(CALIBRATION[: CALIBRATION.index(b"Depth camera position")]),
    Seed(CALIBRATION.decode().encode("utf-16")),
    Seed(CALIBRATION.replace(b".", b",").replace(b" 0,", b";0,").replace(b":", b":;;;")),
    Seed(b"# cal\nDistortion:\n0.1 0.2 0 0 0\n" + CALIBRATION.replace(b" ", b"\xc2\xa0")),
)


def _pixels(width: int, height: int, channels: int) -> bytes:
    values = np.arange(width * height * channels, dtype=np.uint32) * 2654435761 >> 13
    return values.astype(np.uint8).tobytes()


def depth_content(width: int = 24, height: int = 18, pose: bytes = b"_" + POSE) -> bytes:
    """Return the content of a `.depth` archive."""
    return b"%dx%d_0.001_7%s\n" % (width, height, pose) + _pixels(width, height, 3)


_SMALL: Final = (depth_content(), depth_content(8, 6, b""), depth_content(1, 1, b"") + b"\n123")
# The largest accepted size, 3.7 MB, in as few bytes as the ratio allows. It is slow to read, so it is rare.
_LARGEST: Final = pack_zip(
    b"1280x960_0.001_7\n" + np.repeat(np.frombuffer(_pixels(80, 60, 2), np.uint8), 384).tobytes()
)
_REAL: Final = pack_zip(depth_content(240, 180))

ARCHIVES: Final = (
    *(Seed(content, pack=pack_any_zip) for content in (b"", b"some pixels", bytes(3000), *_SMALL)),
    Seed(pack_zip(_SMALL[0])),
    Seed(pack_zip(_SMALL[1], method=0)),
    Seed(_LARGEST, weight=1),
)
DEPTHS: Final = (
    *(Seed(content, pack=pack_any_zip) for content in _SMALL),
    Seed(pack_zip(_SMALL[0])),
    Seed(_REAL, weight=2),
    Seed(_LARGEST, weight=1),
)
_IR: Final = b"24x18_0.001_0\n" + _pixels(24, 18, 2)
IR_DEPTHS: Final = (
    Seed(_IR),
    Seed(_IR, pack=pack_any_zip),
    Seed(_pixels(180, 135, 2), weight=2),
    Seed(pack_zip(_pixels(240, 180, 2)), weight=2),
)


def artefact_names(frame: int = 1) -> tuple[str, str]:
    """Return an entry for a frame's picture and one for its depth file."""
    stem = f"{CODE}_1622182020448_100_{frame}"
    return f"rgb/rgb_{stem}.jpg", f"depth/depth_{stem}.depth"


def record(frames: int = 2, folders: bool = True, **fields: Any) -> dict[str, Any]:
    """Return a `scan.json`."""
    artifacts = [
        {"id": f"a{order}{kind}", "order": order, "format": kind, "timestamp": "2024-01-01T00:00:00Z",
         "file": name if folders else name.partition("/")[2]}
        for order in range(frames)
        for kind, name in zip(("rgb", "application/zip"), artefact_names(order + 1), strict=True)
    ]  # fmt: skip
    return {"id": "5", "type": 100, "version": "v1", "artifacts": artifacts, **fields}


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def changed_json(*values: Any) -> tuple[Seed, ...]:
    """Return seeds for changes in the JSON tree."""
    return tuple(Seed(as_json(value), change_json) for value in values)


# As spreadsheets and backends write it, with several pictures of one order.
_LOOSE: Final = [
    {
        "order": "1",
        "format": "image/jpg",
        "file": f"./{artefact_names(1)[0]}",
        "timestamp": "2020-09-13T12:26:40Z",
    },
    {"order": 1.0, "format": "DEPTH", "file": artefact_names(1)[1].replace("/", "\\"), "timestamp": 1.6e12},
    {"order": 1, "format": "rgb", "file": artefact_names(2)[0].upper(), "timestamp": 1_600_000_000.5},
    {"order": None, "format": "rgb", "file": CODE},
]
MANIFESTS: Final = (
    *changed_json(record(), record(3, folders=False, type=204), record(1, version="ir_1")),
    *changed_json(record(1, type="104", artifacts=_LOOSE), record(1, artifacts=_LOOSE[:2])),
    Seed(as_json(record(1))),
)
_TIMED: Final = [
    f"{kind}_{CODE}_1622182020448_100_{time}"
    for number in range(8)
    for kind, time in (("rgb/rgb", f"668549.{number}14277.JPG"), ("depth/depth", f"0_668549.{number}5.depth"))
]
NAMES: Final = tuple(
    Seed("\n".join(names).encode())
    for names in (
        *([name for frame in range(count) for name in artefact_names(frame)] for count in (1, 3, 12)),
        _TIMED,
        [
            f"RGB/rgb_{CODE}_1_104_{number}{end}"
            for number in range(3)
            for end in (".jpg", " (1).JPEG", ".webp")
        ],
        ["rgb/Thumbs.db", "depth/", *_TIMED[:3], *artefact_names(1)],
    )
)


def picture(kind: str, width: int = 48, height: int = 32, *options: int) -> bytes:
    """Return an encoded picture that is neither one colour nor noise."""
    row, column = np.mgrid[:height, :width].astype(np.float64)
    bgr = np.stack((column * 5, row * 7, (row + column) * 3), axis=-1).astype(np.uint8)
    done, data = cv2.imencode(kind, bgr, options)
    if not done:
        raise RuntimeError(f"no {kind} could be written")
    return data.tobytes()


_JPEG: Final = picture(".jpg")
_PROGRESSIVE: Final = picture(".jpg", 48, 32, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
_PNG: Final = picture(".png")
_BOMB: Final = zlib.compress(bytes(7_900_000), 9)
_VIDEO: Final = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0\0\1\0mdat" + b"\xff\xda\xff\xd8\xff\xd9" * 40


def _png(colour: int, bits: int, *chunks: tuple[bytes, bytes], interlaced: int = 0) -> bytes:
    """Return a PNG of 16x16 pixels of a kind that OpenCV does not write."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = ((2, 2), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16)) if interlaced else ((16, 16),)
    rows = b""
    for count, columns in passes:
        rows += (b"\0" + _pixels(-(-columns * channels * bits // 8), 1, 1)) * count
    header = struct.pack(">IIBBBBB", 16, 16, bits, colour, 0, 0, interlaced)
    out = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">L", len(content)) + name + content
        out += struct.pack(">L", zlib.crc32(name + content))
    return out


_PALETTE: Final = ((b"PLTE", _pixels(256, 1, 3)), (b"tRNS", _pixels(256, 1, 1)))


def _change_jpeg(rng: random.Random, data: bytes) -> bytes:
    """Change fields of the frame header, or repeat a segment. In most cases the decoder still reads it."""
    out = bytearray(data)
    at = max(out.find(b"\xff\xc0"), out.find(b"\xff\xc2"))
    match rng.randrange(5):
        case 0:
            sides = (16, 17, 1000, 4000, 4898, 9999, 10_000, 65_535)
            out[at + 5 : at + 9] = struct.pack(">HH", rng.choice(sides), rng.choice(sides))
        case 1:
            out[at + 9 + rng.randrange(10)] = rng.choice((0, 1, 2, 3, 4, 0x11, 0x44, 0xFF))
        case 2:
            start = out.find(b"\xff\xda", at)
            scan = bytes(out[start:-2])
            out[-2:-2] = scan * rng.choice((1, 5, 54, 70))
        case 3:
            segment = bytes((0xFF, rng.choice((0xE0, 0xE1, 0xE2, 0xED, 0xDD, 0xC4, 0xDB, 0xFE))))
            body = rng.randbytes(rng.choice((0, 2, 4, 64)))
            out[2:2] = segment + struct.pack(">H", len(body) + 2) + body
        case _:
            return change_bytes(rng, data)
    return bytes(out)


def _change_png(rng: random.Random, data: bytes) -> bytes:
    """Add a chunk, perhaps many times: few bytes that inflate to many."""
    if rng.random() < 0.6:
        return change_bytes(rng, data)
    name = rng.choice(
        (b"zTXt", b"iTXt", b"iCCP", b"tEXt", b"acTL", b"fcTL", b"PLTE", b"tRNS", b"eXIf", b"IDAT")
    )
    body = (b"k\0\1\0\0\0" if name == b"iTXt" else b"k\0\0") + _BOMB[: rng.choice((3, 20, 8000))]
    chunk = struct.pack(">L", len(body)) + name + body + bytes(4)
    at = rng.choice((33, len(data) - 12))
    return data[:at] + chunk * rng.choice((1, 2, 20, 23, 24, 300)) + data[at:]


# An EXIF segment with the orientation 6.
_TIFF: Final = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
_EXIF: Final = b"\xff\xe1" + struct.pack(">H", len(_TIFF) + 8) + b"Exif\0\0" + _TIFF

PICTURES: Final = (
    Seed(_JPEG, _change_jpeg),
    Seed(_PROGRESSIVE, _change_jpeg),
    Seed(picture(".jpg", 16, 16)),
    Seed(_JPEG[:2] + _EXIF + _JPEG[2:]),
    Seed(_PNG, _change_png, fix_png),
    Seed(_PNG),
    Seed(_JPEG + _VIDEO, _change_jpeg),
    Seed(_PROGRESSIVE[:-2], _change_jpeg),
    Seed(_JPEG[:-2] + _VIDEO, _change_jpeg),
    Seed(picture(".jpg", 48, 32, cv2.IMWRITE_JPEG_RST_INTERVAL, 1)),
    *(Seed(_png(colour, bits), _change_png, fix_png) for colour in (4, 6) for bits in (8, 16)),
    Seed(_png(0, 2, (b"tRNS", b"\0\1")), _change_png, fix_png),
    Seed(_png(2, 16, (b"tRNS", bytes(6)), interlaced=1), _change_png, fix_png),
    Seed(_png(3, 8, *_PALETTE), _change_png, fix_png),
    Seed(picture(".jpg", 1440, 1080), weight=1),
)


def scan_files(frames: int = 1) -> dict[str, str]:
    """Return a scan's files as one JSON object: name to bytes as Latin-1 text."""
    files = {"camera_calibration.txt": CALIBRATION}
    for frame in range(1, frames + 1):
        rgb, depth = artefact_names(frame)
        files |= {rgb: picture(".jpg", 16, 16), depth: pack_zip(depth_content(8, 6))}
    return {name: data.decode("latin-1") for name, data in files.items()}


def scrambled_files(frames: int) -> dict[str, str]:
    """The same files, each XOR-ed with `XOR_KEY`."""
    files = {name: text.encode("latin-1") for name, text in scan_files(frames).items()}
    return {name: xor(data, XOR_KEY).decode("latin-1") for name, data in files.items()}


SCANS: Final = changed_json(
    scan_files(2),
    {**scan_files(2), "scan.json": json.dumps(record())},
    {"scan.json": json.dumps(record(1))},
    {**scrambled_files(2), "scan.json": json.dumps(record(version="v3.1"))},
    {**scrambled_files(2), "scan.json": json.dumps(record(version="ir-2.0"))},
)
# Beside the scan of `targets.ScanFolder`: a link to the outside, a folder, and files above it.
FOLDER_RECORDS: Final = changed_json(
    record(),
    record(1, artifacts=[
        {"order": order, "format": "rgb", "file": name}
        for order, name in enumerate(("rgb/outside.jpg", "rgb", "../outside.jpg", "rgb/pipe.jpg", "rgb/loop"))
    ] + [{"order": order, "format": "depth", "file": artefact_names(1)[1]} for order in range(5)]),
)  # fmt: skip


def pack_safetensors(rng: random.Random, header: bytes) -> bytes:
    """Return a header after its length, which is sometimes false, and then the bytes of the tensors."""
    length = len(header)
    if rng.random() < 0.1:
        length = rng.choice((0, 1, length - 1, length + 1, 100_000_000, 2**40, 2**63, 2**64 - 1))
    content = bytes(rng.choice((160, 160, 160, 0, 159, 4000)))
    return struct.pack("<Q", max(0, length)) + header + content


SAFETENSORS: Final = tuple(
    Seed(as_json(header), change_json, pack_safetensors)
    for header in (
        {
            "__metadata__": {"name": "depth-hrnet", "version": "1", "variant": "tiny"},
            "a.weight": {"dtype": kind, "shape": [2, 5], "data_offsets": [0, 10 * size]},
            "b": {"dtype": "I64", "shape": [], "data_offsets": [10 * size, 10 * size + 8]},
            "c": {"dtype": "U8", "shape": [152 - 10 * size], "data_offsets": [10 * size + 8, 160]},
        }
        for kind, size in (("F32", 4), ("BF16", 2), ("F8_E4M3", 1), ("BOOL", 1), ("F64", 8))
    )
)

MESSAGES: Final = changed_json(
    {"scan_id": SCAN_ID}, [SCAN_ID], {"args": [{"scan_id": SCAN_ID}], "kwargs": {}}, {"scan_id": CODE * 20}
)
_STORED: Final = {
    "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
    "s3": {"bucket": {"name": "scans"}, "object": {"key": f"in/{SCAN_ID}/rgb/{CODE}+%281%29.jpg", "size": 5}},
}  # fmt: skip
_WEBHOOK: Final = {
    "key": f"/buckets/scans/in/{SCAN_ID}/{artefact_names()[1]}", "event_type": "create",
    "message": {"new_entry": {"name": CODE, "is_directory": False}},
}  # fmt: skip
ARRIVALS: Final = changed_json(
    {"scan_id": SCAN_ID}, {"scan_ids": [SCAN_ID, "scan-2"]}, {"Records": [_STORED, _STORED]},
    {"EventName": "s3:ObjectCreated:Put", "Key": CODE, "Records": [{**_STORED, "eventSource": "ceph:s3"}]},
    [{"Event": [_STORED], "EventTime": "2024-05-01T10:00:00Z"}], _WEBHOOK,
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "scans"},
)  # fmt: skip
_TIME: Final = "2024-05-01T10:00:00Z"
STATUSES: Final = changed_json(
    {"schema": "scan-status/1", "scan_id": SCAN_ID, "status": "progress", "stage": "analyse",
     "frames_done": 3, "frames": 9, "attempt": 1, "task_id": "t", "queued_at": _TIME, "updated_at": _TIME},
    {"schema": "scan-status/1", "scan_id": SCAN_ID, "status": "failed", "reason": "x", "updated_at": _TIME},
)  # fmt: skip

_RESULT: Final[dict[str, Any]] = {
    "schema": "scan-result/2", "scan_id": SCAN_ID, "fingerprint": "f", "model": {"name": "m", "version": "1"},
    "posture": "standing", "posture_confidence": 0.9, "body_length_m": None, "frames_used": 0,
    "body_length_estimate_m": {"value": 0.8, "low": 0.75, "high": 0.9}, "verdict": "usable",
    "verdict_reasons": [{"code": "too_far", "text": "step closer: 0.4 m", "frames": [0]}], "timings_ms": {},
    "frames": [{
        "order": 0, "status": "no_person", "reason": None, "people": [], "floor_height_m": -1.2,
        "camera_angle_deg": -9.5, "missing_depth": 0.1, "child_distance_m": None, "quality": [],
        "picture": None, "timings_ms": {"read": 1.5},
    }],
}  # fmt: skip
RESULTS: Final = changed_json(_RESULT)
_PERSON: Final = {
    "box": [1, 2, 30, 40], "box_score": 0.9, "score": 0.9, "posture": "standing", "body_length_m": 0.8,
    "body_length_estimate_m": {"value": 0.8, "low": 0.75, "high": 0.9},
    "keypoints": [{"name": name, "u": 5.5, "v": 6.5, "score": 0.8} for name in KEYPOINTS],
    "skeleton": [
        {"name": name, "x": 0.1, "y": 0.5, "z": -1.2, "score": 0.8, "distance_px": 2.5, "observed": True}
        for name in KEYPOINTS
    ],
}  # fmt: skip
PAGES: Final = changed_json(
    {**_RESULT, "ignored": [CODE], "frames": [
        {**_RESULT["frames"][0], "status": "ok", "people": [_PERSON], "weight": 0.5, "head_height_m": 0.9,
         "quality": ["too_near"], "child_distance_m": 0.7, "reason": "</script><script>"},
    ]},
)  # fmt: skip
EVENTS: Final = changed_json(
    {"specversion": "1.0", "id": "i", "source": "/pose-worker", "time": _TIME, "subject": SCAN_ID,
     "type": "org.pose-worker.scan.progress", "data": {"stage": "analyse", "frame": 3, "frames": 9}},
    {"id": "i", "time": _TIME, "subject": SCAN_ID, "type": "org.pose-worker.scan.completed",
     "data": {"verdict": "good", "posture": "standing", "attempt": 1, "reason": "\u001b[2J"}},
)  # fmt: skip

_DELIVERY: Final = {"exchange": "", "routing_key": "celery"}
_PROPERTIES: Final = {"correlation_id": "c", "delivery_mode": 2, "delivery_info": _DELIVERY, "priority": 0,
                      "body_encoding": "base64", "delivery_tag": "d"}  # fmt: skip
_CALL: Final = {"lang": "py", "task": "worker.process_scan", "id": "c", "retries": 0, "argsrepr": "[]"}
ENVELOPES: Final = changed_json(
    {"body": "W1tdLCB7InNjYW5faWQiOiAieCJ9LCB7fV0=", "content-encoding": "utf-8",
     "content-type": "application/json", "properties": _PROPERTIES,
     "headers": {**_CALL, "eta": None, "expires": _TIME, "timelimit": [None, 5]}},
    {"body": "[[], {}, {}]", "content-type": "application/json", "headers": {**_CALL, "eta": _TIME},
     "properties": {**_PROPERTIES, "body_encoding": None}},
)  # fmt: skip

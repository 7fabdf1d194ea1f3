"""The scans of a chaos run: a few rendered ones, cheap to analyse, and some broken in known ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from pose.scan.depth_file import write_depth
from pose.synthetic.picture import render_picture
from pose.synthetic.render import render
from pose.synthetic.scan_writer import WorldTransform, encode_image
from tools.chaos.settings import DEADLY, MAX_OBJECT_BYTES, STUCK

Files = dict[str, bytes]

SIZE: Final = (240, 180)
DEPTH_SIZE: Final = (120, 90)
FRAMES: Final = 2
STEP: Final = 104  # of all rendered scans here that have a record
CALIBRATION: Final = """Color camera intrinsic:
{line}
Depth camera intrinsic:
{line}
Depth camera position:
0 0 0
"""


@dataclass(frozen=True)
class Kind:
    """A kind of scan; many ids share its files.

    Attributes:
        name: of the kind.
        make: returns its files.
        failure: how the reason of its failure may begin; None if it does not fail.
        prefix: of its ids.
        quiet: whether it is analysed once without faults, to know its result.
    """

    name: str
    make: Callable[[], Files]
    failure: str | tuple[str, ...] | None = None
    prefix: str = "scan"
    quiet: bool = True
    late: bool = False

    @property
    def files(self) -> Files:
        return _files(self)


@cache
def _files(kind: Kind) -> Files:
    return kind.make()


def _rendered(seed: int, posture: str) -> Callable[[], Files]:
    return lambda: dict(_render(seed, posture))


def _render(seed: int, posture: str) -> Iterator[tuple[str, bytes]]:
    world = WorldTransform.sample(seed)
    for order in range(FRAMES):
        rendering = render(seed, posture, DEPTH_SIZE, frame=order, second_person=False)
        if order == 0:
            line = " ".join(f"{value:.8g}" for value in rendering.scene.intrinsics)
            yield "camera_calibration.txt", CALIBRATION.format(line=line).encode()
        picture = render_picture(rendering.scene, SIZE, seed, order)
        stem = f"rendered_{1_600_000_000_000 + seed}_{rendering.scene.step}_{100 + 7 * order}"
        yield f"rgb/rgb_{stem}.jpg", encode_image(".jpg", picture.rgb[..., ::-1])
        yield f"depth/depth_{stem}.depth", write_depth(world.apply(rendering.depthmap))


def _broken(change: Callable[[Files], Files]) -> Callable[[], Files]:
    return lambda: change(dict(RENDERED[0].files))


def _with_record(files: Files) -> Files:
    """With a `scan.json` that names the other files, as the first of them."""
    artefacts = [
        {"format": role, "order": order, "file": name}
        for role in ("rgb", "depth")
        for order, name in enumerate(sorted(name for name in files if name.startswith(f"{role}/")))
    ]
    record = json.dumps({"type": STEP, "artifacts": artefacts}).encode()
    return {"scan.json": record, **files}


def _without(start: str) -> Callable[[Files], Files]:
    return lambda files: {name: data for name, data in files.items() if not name.startswith(start)}


def _cut(files: Files, count: int) -> Files:
    """Return the files with the first `count` depth maps cut in half."""
    names = sorted(name for name in files if name.startswith("depth/"))[:count]
    return files | {name: files[name][: len(files[name]) // 2] for name in names}


RENDERED: Final = tuple(
    Kind(f"{posture} {seed}", _rendered(seed, posture))
    for seed, posture in ((1, "standing"), (7, "lying"), (12, "standing"), (15, "lying"), (3, "empty"))
)
GOOD: Final = (
    *RENDERED,
    Kind("one depth map cut", _broken(lambda files: _cut(files, 1))),
    Kind("half uploaded", _broken(_with_record), late=True),
)
BROKEN: Final = (
    Kind("no calibration", _broken(_without("camera_calibration")), "calibration: file: missing"),
    Kind(
        "calibration of words",
        _broken(
            lambda files: files | {"camera_calibration.txt": CALIBRATION.format(line="a b c d").encode()}
        ),
        "calibration: color: no numbers after its label",
    ),
    Kind("no depth", _broken(_without("depth/")), "scan: frames: none can be read"),
    Kind("depth cut", _broken(lambda files: _cut(files, FRAMES)), "scan: frames: none can be read"),
    Kind(
        "too large",
        _broken(lambda files: files | {"rgb/large.jpg": bytes(MAX_OBJECT_BYTES + 1)}),
        f"a file of the scan has more than {MAX_OBJECT_BYTES} bytes",
    ),
    Kind("no files", dict, "the storage of scans holds no files of this scan"),
)
LETHAL: Final = Kind("kills its process", RENDERED[0].make, "poison: ", DEADLY, quiet=False)
ENDLESS: Final = Kind(
    "never ends",
    RENDERED[0].make,
    # Other faults may kill all its processes before the time limit strikes.
    ("it took longer than the time limit", "poison: "),
    STUCK,
    quiet=False,
)
KINDS: Final = {kind.name: kind for kind in (*GOOD, *BROKEN, LETHAL, ENDLESS)}

"""Write synthetic people as a COCO data set: `python -m pose.synthetic.coco_writer OUT --count N --seed S`.

The format is that of COCO's keypoint annotations (cocodataset.org, "Data format", section 4), limited to the
fields that `pose evaluate` and pycocotools read. Keypoint evaluation needs no segmentations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from pose import keypoints as kp
from pose.geometry.orientation import turn_picture, turn_points, turns_for_step
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.render import project_keypoints
from pose.synthetic.scan_writer import encode_image
from pose.synthetic.scene import sample_scene

ANNOTATIONS: Final = "person_keypoints.json"
IMAGES: Final = "images"
MAX_COUNT: Final = 100_000
# Width and height of the pictures before they are turned upright. In the smallest ones people have the size
# that COCO calls medium (32² to 96² pixels).
_SIZES: Final = ((640, 480), (640, 480), (480, 360), (200, 150))
_EMPTY_EVERY: Final = 9  # the last of nine pictures shows nobody
_TWO_EVERY: Final = 3  # the last of three pictures shows two people
UNLABELLED, HIDDEN, VISIBLE = 0, 1, 2  # COCO's v of a keypoint


def write_coco(out: Path | str, count: int, seed: int = 0) -> Path:
    """Render a data set into the folder `out` and return the folder.

    It contains `person_keypoints.json` and `images/<id of 12 digits>.jpg`: standing and lying children, some
    with a second person, and some empty rooms, turned upright by the scan's step. The same arguments give the
    same bytes; a larger `count` does not change the first pictures.

    Args:
        out: an empty folder, or one that does not exist yet.
        count: number of pictures, 1 to `MAX_COUNT`.
        seed: seed of the first picture, not negative; each further picture takes the next one.

    Raises:
        ValueError: a number is out of range.
        FileExistsError: the folder is not empty.
    """
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"count is {count}, expected 1 to {MAX_COUNT}")
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; choose an empty or new folder")
    (out / IMAGES).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in track(range(count), "pictures", console=Console(stderr=True), transient=True):
        picture, turns = _render(seed + number, number)
        upright = turn_picture(picture.rgb, turns)
        name = f"{seed + number:012d}.jpg"
        (out / IMAGES / name).write_bytes(encode_image(".jpg", upright[..., ::-1]))
        height, width = upright.shape[:2]
        images.append({"id": seed + number, "file_name": name, "width": width, "height": height})
        for person in picture.scene.people:
            annotation = _annotation(person, picture, turns)
            if annotation is not None:
                ids = {"id": len(annotations) + 1, "image_id": seed + number, "category_id": 1}
                annotations.append(ids | annotation)
    data_set = {
        "info": {"description": "Rendered people", "version": "1.0"},
        "images": images,
        "annotations": annotations,
        "categories": [_category()],
    }
    (out / ANNOTATIONS).write_text(json.dumps(data_set) + "\n")
    return out


def _render(seed: int, number: int) -> tuple[Picture, int]:
    """Return a picture in sensor orientation, and the quarter turns clockwise that make it upright."""
    posture = ("standing", "lying")[number % 2]
    if number % _EMPTY_EVERY == _EMPTY_EVERY - 1:
        posture = "empty"
    scene = sample_scene(seed, posture, second_person=number % _TWO_EVERY == _TWO_EVERY - 1)
    size = _SIZES[number // 2 % len(_SIZES)]
    return render_picture(scene, size, seed, 0), turns_for_step(scene.step)


def _annotation(person: SyntheticPerson, picture: Picture, turns: int) -> dict[str, Any] | None:
    """Return a person's annotation without ids, None if no pixel of the person is visible."""
    mask = turn_picture(picture.hits.owner_mask(picture.scene.shapes, person.owner), turns)
    if not mask.any():
        return None
    rows, columns = np.nonzero(mask)
    x0, y0, x1, y1 = (int(edge) for edge in (columns.min(), rows.min(), columns.max(), rows.max()))
    uv, visible = project_keypoints(person, picture.scene, picture.hits)
    _, depth = picture.scene.camera.project(person.joints)
    sensor_height, sensor_width = picture.hits.index.shape
    uv = turn_points(uv, turns, sensor_width, sensor_height)
    # An annotator cannot place a hidden keypoint far from the visible part of a person.
    near = ((uv >= (x0, y0)) & (uv <= (x1, y1))).all(axis=1) & (depth > 0)
    labels = np.where(visible, VISIBLE, np.where(near, HIDDEN, UNLABELLED))
    keypoints: list[float] = []
    for (u, v), label in zip(uv.tolist(), labels.tolist(), strict=True):
        keypoints += [round(u, 2), round(v, 2), label] if label else [0, 0, UNLABELLED]
    return {
        "keypoints": keypoints,
        "num_keypoints": int((labels > 0).sum()),
        # From the left edge of the first pixel to the right edge of the last.
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
        "area": int(mask.sum()),
        "iscrowd": 0,
    }


def _category() -> dict[str, Any]:
    skeleton = [[a + 1, b + 1] for a, b in kp.LIMBS]  # COCO counts from one
    names = list(kp.NAMES)
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": names,
        "skeleton": skeleton,
    }


def main(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Empty or new folder for the data set.")],
    count: Annotated[int, typer.Option(min=1, max=MAX_COUNT, help="Number of pictures.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first picture.")] = 0,
) -> None:
    """Render people as a COCO data set: person_keypoints.json, and pictures in images/."""
    try:
        folder = write_coco(out, count, seed)
    except OSError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False)
        raise typer.Exit(2) from None
    typer.echo(f"--annotations {folder / ANNOTATIONS} --images {folder / IMAGES}")


if __name__ == "__main__":
    typer.run(main)

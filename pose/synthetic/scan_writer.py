"""Write a rendered scan: the files that a phone would upload, and their ground truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp
from pose.geometry.depthmap import DepthMap
from pose.scan.depth_file import write_depth
from pose.synthetic.person import SyntheticPerson
from pose.synthetic.picture import Picture, render_picture
from pose.synthetic.posing import rotation_about
from pose.synthetic.render import Rendering, project_keypoints, render

FloatArray = NDArray[np.float64]
PICTURE_SIZE = (1440, 1080)
_PERSON = "rendered"  # in place of the person's code in real file names
_STARTED_MS = 1_600_000_000_000


@dataclass(frozen=True, eq=False)
class WorldTransform:
    """Transform from the scene to the phone's world frame: a rotation about the vertical, then a translation.

    Attributes:
        rotation: (3, 3), scene to world.
        translation: (3,) metres.
    """

    rotation: FloatArray
    translation: FloatArray

    @classmethod
    def sample(cls, seed: int) -> WorldTransform:
        """Return the transform of the scan with this seed."""
        rng = np.random.default_rng([seed, 21])
        return cls(
            rotation_about("y", rng.uniform(-180, 180)), rng.uniform((-0.5, -1.6, -0.5), (0.5, -0.7, 0.5))
        )

    def apply(self, depthmap: DepthMap) -> DepthMap:
        """Return a depth map of the scene, with its camera pose in the world frame."""
        return replace(
            depthmap,
            rotation=self.rotation @ depthmap.rotation,
            translation=self.rotation @ depthmap.translation + self.translation,
        )

    def joints(self, person: SyntheticPerson) -> FloatArray:
        """Return joints (17, 3) in metres: x and z in the world frame, y above the floor."""
        return person.joints @ self.rotation.T + self.translation * (1, 0, 1)


def write_scan(
    out: Path | str, seed: int, posture: str, frames: int = 9, *, second_person: bool | None = None
) -> Path:
    """Render a scan into the folder `out` and return the folder.

    Beside the scan it writes `truth.json` (keypoints in pixels of the picture as it arrives, joints in metres
    above the floor) and `truth/face_<order>.png` (white where a face is visible). The same arguments give the
    same bytes.

    Args:
        out: an empty folder, or one that does not exist yet.
        seed: not negative.
        posture: "standing", "lying" or "empty" (a room without people).
        frames: 1 to 99.
        second_person: whether a second person is in the scene; None leaves it to chance.

    Raises:
        ValueError: the posture is unknown, the seed negative, or the number of frames not in 1..99.
        FileExistsError: the folder is not empty.
    """
    if not 1 <= frames <= 99:
        raise ValueError(f"frames is {frames}, expected 1 to 99")
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; choose an empty or new folder")
    truth: dict[str, Any] = {"posture": posture, "frames": []}
    for name, data in scan_files(seed, posture, frames, truth=truth, second_person=second_person):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return out


def scan_files(
    seed: int, posture: str, frames: int, *, truth: dict[str, Any], second_person: bool | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield name (relative to the scan's folder) and bytes of each file; append to `truth["frames"]`.

    Other arguments are as for `write_scan`.
    """
    world = WorldTransform.sample(seed)
    for order in range(frames):
        rendering = render(seed, posture, frame=order, second_person=second_person)
        picture = render_picture(rendering.scene, PICTURE_SIZE, seed, order)
        if order == 0:
            yield "camera_calibration.txt", _calibration(rendering.scene.intrinsics)
        stem = f"{_PERSON}_{_STARTED_MS + seed}_{rendering.scene.step}_{100 + 7 * order}"
        yield f"rgb/rgb_{stem}.jpg", encode_image(".jpg", picture.rgb[..., ::-1])
        yield f"depth/depth_{stem}.depth", write_depth(world.apply(rendering.depthmap))
        yield f"truth/face_{order}.png", encode_image(".png", picture.face.astype(np.uint8) * 255)
        truth["frames"].append({"order": order, "people": _people(rendering, picture, world)})


def _people(rendering: Rendering, picture: Picture, world: WorldTransform) -> list[dict[str, Any]]:
    people = []
    for person in rendering.scene.people:
        uv, seen = project_keypoints(person, picture.scene, picture.hits)
        people.append(
            {
                "keypoints": [
                    {"name": name, "u": round(float(u), 2), "v": round(float(v), 2), "visible": bool(visible)}
                    for name, (u, v), visible in zip(kp.NAMES, uv, seen, strict=True)
                ],
                "joints": [
                    {"name": name, "x": round(float(x), 4), "y": round(float(y), 4), "z": round(float(z), 4)}
                    for name, (x, y, z) in zip(kp.NAMES, world.joints(person), strict=True)
                ],
                "body_length_m": round(person.length, 4),
            }
        )
    return people


def _calibration(intrinsics: tuple[float, ...]) -> bytes:
    line = " ".join(f"{value:.8g}" for value in intrinsics)
    return (
        f"Color camera intrinsic:\n{line}\nDepth camera intrinsic:\n{line}\nDepth camera position:\n0 0 0\n"
    ).encode()


def encode_image(kind: str, image: NDArray[np.uint8]) -> bytes:
    """Return the bytes of an image file; `image` is BGR or grey, as in OpenCV. `kind` is ".jpg" or ".png"."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if kind == ".jpg" else []
    done, data = cv2.imencode(kind, np.ascontiguousarray(image), options)
    if not done:
        raise RuntimeError(f"OpenCV could not write a {kind} picture")
    return data.tobytes()

"""The published weights: where they are, and how they are identified.

Nothing is downloaded here: `pose.weights.sources` downloads weights and `pose.weights.store` keeps them.

The pose models and person detectors were trained on COCO, the face detector on WIDER FACE. The pictures of
both have licences of their own (COCO's annotations are CC BY 4.0). The licence here is the one under which
the file was published.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["hrnet", "detector", "face"]

_MMPOSE: Final = "https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco/"
_TORCHVISION: Final = "https://download.pytorch.org/models/"
_YUNET: Final = "https://huggingface.co/opencv/face_detection_yunet/resolve/main/"


@dataclass(frozen=True)
class Published:
    """A file as its authors published it.

    Attributes:
        name: our name of the model.
        file: the file's name.
        url: None if a program cannot download it from where the authors publish it.
        sha256: 64 hex digits, or the first 8 if only these are known, from the file's name.
        size: bytes, if known.
        licence: SPDX.
        ap: published average precision on COCO val2017, 0..1: of keypoints, with flip test and the boxes of
            the authors' detector; or of boxes; None for a face detector.
        kind: "hrnet", "detector" (of people) or "face" (a detector of faces, an ONNX file).
        width: of an HRNet.
        input_size: of an HRNet, width and height in pixels.
    """

    name: str
    file: str
    url: str | None
    sha256: str
    size: int | None
    licence: str
    ap: float | None
    kind: Kind
    width: int | None = None
    input_size: tuple[int, int] | None = None

    def is_hash(self, sha256: str) -> bool:
        """Return whether a file with this hash (64 hex digits) is this one, as far as its hash is known."""
        return sha256.startswith(self.sha256)


def _mmpose(name: str, stem: str, sha256: str, ap: float) -> Published:
    width, size = _shape(name)
    file = f"{stem}.pth"
    return Published(name, file, _MMPOSE + file, sha256, None, "Apache-2.0", ap, "hrnet", width, size)


def _authors(name: str, file: str, sha256: str, ap: float) -> Published:
    width, size = _shape(name)
    return Published(name, file, None, sha256, None, "MIT", ap, "hrnet", width, size)


def _torchvision(file: str, sha256: str, ap: float, name: str, size: int | None = None) -> Published:
    return Published(name, file, _TORCHVISION + file, sha256, size, "BSD-3-Clause", ap, "detector")


def _shape(name: str) -> tuple[int, tuple[int, int]]:
    """ "hrnet-w48-384x288" -> 48, (288, 384): the name has the height first, as the authors do."""
    _, width, size = name.split("-")
    height, across = map(int, size.split("x"))
    return int(width.removeprefix("w")), (across, height)


_ALL: Final = (
    # The tables of mmpose, and of github.com/leoxiaobin/deep-high-resolution-net.pytorch.
    _mmpose(
        "hrnet-w48-384x288",
        "td-hm_hrnet-w48_8xb32-210e_coco-384x288-c161b7de_20220915",
        "c161b7de",
        0.767,
    ),
    _authors(
        "hrnet-w48-384x288",
        "pose_hrnet_w48_384x288.pth",
        "95e0fec3194826d5e3f806ea89be68bbb84517b114c3a32b3058c56610b5ef61",
        0.763,
    ),
    _mmpose(
        "hrnet-w32-384x288",
        "td-hm_hrnet-w32_8xb64-210e_coco-384x288-ca5956af_20220909",
        "ca5956af",
        0.761,
    ),
    _mmpose(
        "hrnet-w48-256x192",
        "td-hm_hrnet-w48_8xb32-210e_coco-256x192-0e67c616_20220913",
        "0e67c6167d6a10fe8f27e3da1e9a415b57289d5820dcca2b42bd8079df4b7a3a",
        0.756,
    ),
    _mmpose(
        "hrnet-w32-256x192",
        "td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909",
        "81c58e40",
        0.749,
    ),
    _authors(
        "hrnet-w32-256x192",
        "pose_hrnet_w32_256x192.pth",
        "19bc083708bb8d873211e50d85d56344c10290c6e8b564c813fdde09645c4c1c",
        0.744,
    ),
    # torchvision.models.detection: digits of the hash and AP are from its WeightsEnum.
    _torchvision(
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        "258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        0.370,
        "fasterrcnn-resnet50-fpn",
        167_502_836,
    ),
    _torchvision(
        "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
        "fb6a3cc7",
        0.328,
        "fasterrcnn-mobilenet-v3-large-fpn",
    ),
    _torchvision(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        "907ea3f9",
        0.228,
        "fasterrcnn-mobilenet-v3-large-320-fpn",
    ),
    _torchvision(
        "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
        "a79551df",
        0.213,
        "ssdlite320-mobilenet-v3-large",
    ),
    # Wu et al., "YuNet: a tiny millisecond-level face detector", 2023; github.com/opencv/opencv_zoo.
    Published(
        "yunet",
        "face_detection_yunet_2026may.onnx",
        _YUNET + "face_detection_yunet_2026may.onnx",
        "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        229_738,
        "MIT",
        None,
        "face",
    ),
)

# A model's name -> its files, in the order in which they are tried. Models of a kind are in the order of AP.
REGISTRY: Final[dict[str, tuple[Published, ...]]] = {
    name: tuple(each for each in _ALL if each.name == name)
    for name in dict.fromkeys(each.name for each in _ALL)
}
POSE_MODELS: Final = tuple(name for name, files in REGISTRY.items() if files[0].kind == "hrnet")
DETECTORS: Final = tuple(name for name, files in REGISTRY.items() if files[0].kind == "detector")
FACE_DETECTOR: Final = "yunet"
DEFAULT_POSE: Final = "hrnet-w48-384x288"
DEFAULT_DETECTOR: Final = "fasterrcnn-resnet50-fpn"
# What `pose weights pull` downloads. The face detector is first: it is small, and every model uses it.
PULLED_BY_DEFAULT: Final = (FACE_DETECTOR, DEFAULT_POSE, DEFAULT_DETECTOR)


def first_published(name: str) -> Published:
    """Return the first published file of a name; all have the same kind, width and input size.

    Raises:
        ValueError: there is no such name.
    """
    if name not in REGISTRY:
        raise ValueError(f"unknown weights {name!r}, expected one of {', '.join(REGISTRY)}")
    return REGISTRY[name][0]


def find_published(sha256: str) -> Published | None:
    """Return the published file with this hash (64 hex digits); None if there is none."""
    files = (each for files in REGISTRY.values() for each in files)
    return next((each for each in files if each.is_hash(sha256)), None)

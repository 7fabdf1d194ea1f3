"""The pictures of a page: published ones with skeletons, made small. An original is never read."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import cv2
import numpy as np

from pose.analysis.export import OVERLAY, artefact_name
from pose.errors import InvalidPicture
from pose.report.stored import Read
from pose.results import FrameResult, ScanResult
from pose.scan.pictures import MAX_BYTES, decode_picture, encode_jpeg

MAX_PAGE_BYTES: Final = 3_000_000
PICTURES_BYTES: Final = 1_500_000  # of all pictures; base64 makes 2.0 MB of them, and three.js has 0.6 MB
MAX_PICTURE_BYTES: Final = 160_000
_SIDES: Final = (1000, 800, 640, 480, 320, 240, 160, 120, 80)
_QUALITY: Final = 82


def frame_pictures(result: ScanResult, read: Read) -> dict[int, str]:
    """Return the pictures of a scan's frames with skeletons, as `data:` URLs by the order of the frame.

    A picture is left out if the result withholds it, if its file is missing, or if the file is not the one
    that the result names: it may be of an earlier analysis that showed more. Each picture is decoded and
    encoded again, so nothing but its pixels gets into the page.
    """
    wanted = [frame for frame in result.frames if frame.picture is not None]
    limit = min(MAX_PICTURE_BYTES, PICTURES_BYTES // max(len(wanted), 1))
    found = ((frame.order, _picture(result, frame, read, limit)) for frame in wanted)
    return {order: url for order, url in found if url is not None}


def _picture(result: ScanResult, frame: FrameResult, read: Read, limit: int) -> str | None:
    name = artefact_name(frame.order, OVERLAY)
    data = read(name, MAX_BYTES)
    if data is None or hashlib.sha256(data).hexdigest() != result.artefacts.get(name):
        return None
    try:
        small = shrink(data, limit)
    except InvalidPicture:
        return None
    return None if small is None else f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"


def shrink(data: bytes, limit: int) -> bytes | None:
    """Return a picture as a JPEG file of at most `limit` bytes, or None if even the smallest has more.

    Raises:
        InvalidPicture: the data are no picture.
    """
    picture = decode_picture(data)
    height, width = picture.shape[:2]
    for side in _SIDES:
        scale = min(1.0, side / max(height, width))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        encoded = encode_jpeg(np.asarray(smaller, np.uint8), _QUALITY)
        if len(encoded) <= limit:
            return encoded
    return None

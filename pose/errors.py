"""The errors that this library raises on purpose. Their type tells a program what to do.

PoseError
├── InvalidScan: something in a scan cannot be used; do not try again
│   ├── InvalidDepthFile
│   ├── InvalidCalibration
│   ├── InvalidPicture
│   └── InvalidManifest
├── InvalidWeights
├── DownloadError: weights could not be downloaded; try again later
│   ├── WeightsNotFound
│   └── NoNetwork
├── FaceDetectorMissing
├── RuntimeUnavailable
└── DeviceUnavailable
"""

from __future__ import annotations


class PoseError(Exception):
    """Base class of all errors that this library raises on purpose."""


class InvalidScan(PoseError):
    """Raised when something in a scan cannot be used. Trying again does not help.

    The message names the file, the field and what was expected. It never contains the person's code from a
    file name: `file` is the role of the file ("depth of frame 3").
    """

    def __init__(self, file: str, field: str, problem: str, expected: str = "") -> None:
        self.file = file
        self.field = field
        self.problem = problem
        self.expected = expected
        text = f"{file}: {field}: {problem}"
        if expected:
            text += f" (expected {expected})"
        super().__init__(text)

    def __reduce__(self) -> tuple[type[InvalidScan], tuple[str, str, str, str]]:
        # Without this, an exception with its own signature cannot be pickled and sent to another process.
        return type(self), (self.file, self.field, self.problem, self.expected)


class InvalidDepthFile(InvalidScan):
    """Raised when a `.depth` file cannot be read, or its content contradicts its header."""


class InvalidCalibration(InvalidScan):
    """Raised when a `camera_calibration.txt` cannot be used."""


class InvalidPicture(InvalidScan):
    """Raised when an RGB picture cannot be decoded, or is too large to be decoded safely."""


class InvalidManifest(InvalidScan):
    """Raised when `scan.json`, or the file names of a folder, do not tell which files make a frame."""


class InvalidWeights(PoseError):
    """Raised when weights are missing, damaged, or of another network."""


class DownloadError(PoseError):
    """Raised when weights could not be downloaded. A later download continues where this one ended."""


class WeightsNotFound(DownloadError):
    """Raised when the server or bucket has no such file."""


class NoNetwork(DownloadError):
    """Raised when no connection to the server can be made."""


class FaceDetectorMissing(PoseError):
    """Raised when this OpenCV lacks the face detector. No picture is published without one."""


class RuntimeUnavailable(PoseError):
    """Raised when the requested runtime of networks is not installed."""


class DeviceUnavailable(PoseError):
    """Raised when the requested device is not there. No other device is used instead."""

"""What can be wrong with what we are given. The type tells what to do; the text is for a person."""

from __future__ import annotations


class PoseError(Exception):
    """Any error that this library raises on purpose."""


class InvalidScan(PoseError):
    """Something in a scan cannot be used. Trying again will not help.

    The message names the file, the field and what was expected. It never holds the person's code that
    stands in a file name: callers give `file` as the artefact's role ("depth of frame 3").
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
        # Exceptions with their own signature do not survive the way between processes without this.
        return type(self), (self.file, self.field, self.problem, self.expected)


class InvalidDepthFile(InvalidScan):
    """A `.depth` file that cannot be read, or that lies about itself."""


class InvalidCalibration(InvalidScan):
    """A `camera_calibration.txt` that cannot be used."""


class InvalidPicture(InvalidScan):
    """An RGB picture that cannot be decoded, or that is too large to be decoded safely."""


class InvalidManifest(InvalidScan):
    """A `scan.json`, or a folder's file names, from which no frames can be paired."""


class InvalidWeights(PoseError):
    """Weights that are missing, damaged, or that belong to another network."""


class DownloadError(PoseError):
    """Weights could not be fetched. What arrived is kept where going on from it can help."""


class WeightsNotFound(DownloadError):
    """The server or bucket holds no such file."""


class NoNetwork(DownloadError):
    """The server cannot be reached at all."""


class FaceDetectorMissing(PoseError):
    """This OpenCV has no cascades, so no picture could be looked at a second time. That is never left out."""


class DeviceUnavailable(PoseError):
    """A device was demanded and is not there. Never answered by quietly taking another one."""

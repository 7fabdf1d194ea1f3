"""The models of `result.json` and `pose.json`, and their JSON Schema.

Pixels are those of the picture as it arrived, at full size (u: column, v: row, centres at integers). Metres
are in the world of the scan, y up, with the floor at y = 0. An unknown value is null, never NaN.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pose import keypoints as kp
from pose.lifting.posture import Posture
from pose.privacy.redact import Method as RedactionMethod

SCHEMA: Final = "scan-result/2"
SCAN_ID: Final = r"^[A-Za-z0-9_-]{1,128}$"

Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Pixels = float
Metres = float
Timings = dict[str, Annotated[float, Field(ge=0)]]


class FrameStatus(StrEnum):
    """The status of a frame. Only `ok` frames, which show exactly one person, have 3D figures."""

    OK = "ok"
    NO_PERSON = "no_person"
    SEVERAL_PERSONS = "several_persons"
    INVALID = "invalid"


class Verdict(StrEnum):
    """Whether a scan is good enough: `pose/analysis/verdict.py` says when."""

    GOOD = "good"
    USABLE = "usable"
    REPEAT = "repeat"


class _Model(BaseModel):
    # By alias, as the field `schema` would hide a method of pydantic's models.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
    )


class Estimate(_Model):
    """A measured figure, and the interval that holds the true value in 95 of 100 cases.

    Its unit is that of the field. The field of the same name without `_estimate` has the value alone.

    Raises:
        ValueError: the value is outside the interval (a `pydantic.ValidationError`).

    >>> Estimate(value=0.8, low=0.77, high=0.83).half_width
    0.03
    """

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"low, value, high are {self.low}, {self.value}, {self.high}, expected this order"
            )
        return self

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return round((self.high - self.low) / 2, 5)


class Reason(_Model):
    """Something about a scan that its field worker can do better next time."""

    code: str = Field(description="stable; docs/results.md lists all codes")
    text: str = Field(description="what to do, for the field worker to read")
    frames: tuple[int, ...] = Field(
        description="order of the frames with this fault; empty if of all together"
    )


class ModelInfo(_Model):
    """An estimator, which finds people, or a face detector."""

    name: str
    version: str
    runtime: str | None = Field(
        default=None, description='what ran its network, such as "torch 2.15.0"; null if it is not told'
    )


class KeypointResult(_Model):
    """A COCO keypoint in pixels of the picture; it may lie outside the picture."""

    name: Literal[kp.NAMES]  # type: ignore[valid-type]
    u: Pixels
    v: Pixels
    score: Share


class JointResult(_Model):
    """A joint in metres. If `observed` is false, the depth map does not show it: its place is a guess."""

    name: Literal[kp.NAMES]  # type: ignore[valid-type]
    x: Metres
    y: Metres
    z: Metres
    score: Share
    distance_px: float = Field(ge=0, description="from the keypoint to the depth used, in a picture 640 wide")
    observed: bool


class PersonResult(_Model):
    """A person in a frame."""

    box: tuple[Pixels, Pixels, Pixels, Pixels] = Field(description="x0, y0, x1, y1")
    box_score: Share
    score: Share = Field(description="mean of the keypoints' scores")
    keypoints: tuple[KeypointResult, ...] = Field(min_length=kp.COUNT, max_length=kp.COUNT)
    skeleton: tuple[JointResult, ...] | None = Field(
        min_length=kp.COUNT,
        max_length=kp.COUNT,
        description="null if several persons are seen, or depth or the floor's height is unknown",
    )
    body_length_m: Metres | None = Field(
        description="eye to hip to knee to ankle on the longer side, checked against the stature; "
        "the chain of joints alone with strict limits, or without a stature"
    )
    body_length_estimate_m: Estimate | None = Field(
        default=None, description="with what this frame alone tells; null without 3D"
    )
    stature_m: Metres | None = Field(
        default=None,
        description="sole to crown, as if the child stood straight; null if this frame does not tell",
    )
    stature_estimate_m: Estimate | None = Field(default=None, description="the same with its 95 % interval")
    posture: Posture = Field(description="unknown if there is no 3D, or the child neither stands nor lies")


class RedactionResult(_Model):
    """How a published picture was redacted, and where."""

    method: RedactionMethod
    grid: int = Field(ge=1, description="shades on each side of a redacted region")
    levels: int = Field(ge=1, description="tones that a redacted region can have; nothing else of it is kept")
    noise: float = Field(ge=0, description="sigma of the shades about the tone, of 256")
    regions: tuple[tuple[tuple[int, int], ...], ...] = Field(
        description="outlines (u, v) of the redacted regions, in pixels; they may reach out of the picture"
    )
    second_look: int = Field(
        default=0,
        ge=0,
        description="redacted faces that only the face detector found, in the picture itself",
    )


class AlignmentResult(_Model):
    """How well a frame's picture and depth map agree; see `pose/geometry/alignment.py`."""

    margin: float = Field(description="score minus that of the rival; below the limit they are misaligned")
    limit: float
    score: float = Field(
        description="agreement of the edges of picture and depth map, laid over each other as the calibration"
        " says; in standard deviations over all other places"
    )
    rival: str = Field(description="the change of the picture that fits best: shift, zoom 1.25, mirror, …")
    orientation_known: bool = Field(
        description="false if it is not certain whether the picture's EXIF orientation is to be applied"
    )
    people_distance: float | None = Field(
        default=None,
        ge=0,
        description="of the person in the picture to the one in the depth map, in torso lengths; null if not"
        " exactly one was found in each",
    )


class FrameResult(_Model):
    """A frame. Its `pose.json` is the same without the timings, so equal analyses give equal bytes."""

    order: int = Field(ge=0)
    status: FrameStatus
    reason: str | None = Field(description="why something is missing, for a person to read")
    people: tuple[PersonResult, ...]
    floor_height_m: Metres | None = Field(description="world y of the floor, before y = 0 was moved there")
    camera_angle_deg: float | None = Field(description="of the camera's axis above the horizontal")
    missing_depth: Share | None = Field(description="share of the depth map's pixels without a measurement")
    child_distance_m: Metres | None = Field(description="from the camera; null without exactly one person")
    head_height_m: Metres | None = Field(
        default=None,
        description="top of the only person's head above the floor, if that person stands; without people, of"
        " the object in the middle; null if the picture cuts it off",
    )
    exif_orientation: int = Field(
        default=1,
        ge=1,
        le=8,
        description="what was applied to the picture that arrived; pixels are those of the picture after it",
    )
    alignment: AlignmentResult | None = Field(
        default=None, description="null if picture or depth map does not fit the calibration"
    )
    quality: tuple[str, ...] = Field(
        description="quality limits that the frame breaks (`pose/analysis/quality.py`)"
    )
    weight: Share = Field(
        default=0.0,
        description="how much the frame counts for the scan's figures, compared with one without any fault; 0"
        " if it does not count",
    )
    picture: str | None = Field(description="key of the picture without faces; null if it was withheld")
    depth_picture: str | None = Field(
        default=None, description="key of the depth map in colour, heads flattened; null if it was withheld"
    )
    covering: RedactionResult | None = Field(default=None, description="null if there is no picture")
    timings_ms: Timings = Field(default_factory=dict)


class DriftResult(_Model):
    """How far the people of another model are from those of this result; see `pose/analysis/drift.py`."""

    model: ModelInfo = Field(description="the other model")
    frames: int = Field(ge=0, description="in which each model found exactly one person")
    keypoints: int = Field(ge=0, description="compared: those with a high score by both models")
    distance: float | None = Field(ge=0, description="median, in torso lengths; null if nothing was compared")
    offset_px: tuple[Pixels, Pixels] | None = Field(description="median du, dv: the other model minus ours")
    worst_joint: Literal[kp.NAMES] | None  # type: ignore[valid-type]
    worst_distance: float | None = Field(ge=0, description="median of that joint, in torso lengths")
    limit: float = Field(gt=0, description="the largest distance without an alarm")
    alarm: bool = Field(description="true if the distance is above the limit: a sensor may have moved")


class ScanResult(_Model):
    """A scan: the content of `result.json`. Its figures are weighted medians over the frames that count."""

    # Results of the first version can still be read: they have no interval, weight or verdict.
    schema_: Literal["scan-result/1", "scan-result/2"] = Field(default=SCHEMA, alias="schema")
    scan_id: str = Field(pattern=SCAN_ID)
    fingerprint: str = Field(description="of inputs, models and options; equal ones are not analysed again")
    model: ModelInfo
    face_detector: ModelInfo | None = Field(
        default=None,
        description="what looked for faces in the pictures: yunet, or OpenCV's cascades (haar), which miss"
        " more; null in earlier results",
    )
    posture: Posture
    posture_confidence: Share
    body_length_m: Metres | None = Field(description="null if no frame counts")
    body_length_estimate_m: Estimate | None = Field(
        default=None, description="the same with its 95 % interval; null if no frame counts"
    )
    stature_m: Metres | None = Field(
        default=None, description="sole to crown, as if the child stood straight; null if no frame tells it"
    )
    stature_estimate_m: Estimate | None = Field(default=None, description="the same with its 95 % interval")
    frames_used: int = Field(ge=0, description="number of frames that count: those whose weight is above 0")
    verdict: Verdict | None = Field(default=None, description="null only in results of scan-result/1")
    verdict_reasons: tuple[Reason, ...] = Field(
        default=(),
        description="what to do better, the most frequent first; never empty unless the verdict is good",
    )
    frames: tuple[FrameResult, ...]
    artefacts: dict[str, Sha256] = Field(
        default_factory=dict,
        description="SHA-256 of each artefact by name, such as frames/0/pose.json; a file with another one"
        " belongs to another analysis",
    )
    drift: DriftResult | None = Field(default=None, description="null if only one model was used")
    timings_ms: Timings
    ignored: tuple[str, ...] = Field(
        default=(),
        # As most results say nothing here, they stay as they were before there was this field.
        exclude_if=lambda lines: not lines,
        description="files and entries of scan.json that were not used, with the reason; left out if empty",
    )


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of `result.json`.

    >>> result_schema()["title"]
    'ScanResult'
    """
    schema = ScanResult.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

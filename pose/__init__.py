"""A child's 3D skeleton, posture and face-free pictures from a phone's RGB and depth scan.

The names below are stable. Importing this package does not import torch; the first estimator does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from pose.errors import (
    DeviceUnavailable,
    InvalidCalibration,
    InvalidDepthFile,
    InvalidManifest,
    InvalidPicture,
    InvalidScan,
    InvalidWeights,
    PoseError,
)
from pose.estimators.base import Detections, Estimator, Person
from pose.geometry.camera import Intrinsics
from pose.geometry.depthmap import DepthMap
from pose.geometry.floor import floor_height
from pose.lifting.lift import lift
from pose.lifting.posture import Posture, PostureEstimate, classify_posture
from pose.lifting.skeleton import Skeleton
from pose.privacy.face_detector import FaceDetector
from pose.scan.calibration import Calibration, parse_calibration
from pose.scan.depth_file import parse_depth, write_depth
from pose.scan.frame import BrokenFrame, Frame, Scan

if TYPE_CHECKING:
    from pose import hrnet
    from pose.analysis.frame import FrameAnalysis, analyse_frame
    from pose.analysis.quality import QualityLimits
    from pose.analysis.scan import Analysis, analyse_scan
    from pose.estimators.loading import load_estimator, load_pair
    from pose.privacy.anonymise import Anonymised, anonymise
    from pose.privacy.loading import load_face_detector
    from pose.results import (
        DriftResult,
        Estimate,
        FrameResult,
        FrameStatus,
        PersonResult,
        Reason,
        ScanResult,
        Verdict,
        result_schema,
    )
    from pose.scan.reader import read_scan, read_scan_files

# Imported when they are first used: they import torch, or build the models of the results, which takes longer
# than all other imports together.
_LATER: Final = {
    "pose.analysis.frame": ("FrameAnalysis", "analyse_frame"),
    "pose.analysis.quality": ("QualityLimits",),
    "pose.analysis.scan": ("Analysis", "analyse_scan"),
    "pose.estimators.loading": ("load_estimator", "load_pair"),
    "pose.privacy.anonymise": ("Anonymised", "anonymise"),
    "pose.privacy.loading": ("load_face_detector",),
    "pose.results": (
        "DriftResult", "Estimate", "FrameResult", "FrameStatus", "PersonResult", "Reason", "ScanResult",
        "Verdict", "result_schema",
    ),
    "pose.scan.reader": ("read_scan", "read_scan_files"),
}  # fmt: skip
_MODULES: Final = {name: module for module, names in _LATER.items() for name in names}

__all__ = [
    "Analysis",
    "Anonymised",
    "BrokenFrame",
    "Calibration",
    "DepthMap",
    "Detections",
    "DeviceUnavailable",
    "DriftResult",
    "Estimate",
    "Estimator",
    "FaceDetector",
    "Frame",
    "FrameAnalysis",
    "FrameResult",
    "FrameStatus",
    "Intrinsics",
    "InvalidCalibration",
    "InvalidDepthFile",
    "InvalidManifest",
    "InvalidPicture",
    "InvalidScan",
    "InvalidWeights",
    "Person",
    "PersonResult",
    "PoseError",
    "Posture",
    "PostureEstimate",
    "QualityLimits",
    "Reason",
    "Scan",
    "ScanResult",
    "Skeleton",
    "Verdict",
    "analyse_frame",
    "analyse_scan",
    "anonymise",
    "classify_posture",
    "floor_height",
    "hrnet",
    "lift",
    "load_estimator",
    "load_face_detector",
    "load_pair",
    "parse_calibration",
    "parse_depth",
    "read_scan",
    "read_scan_files",
    "result_schema",
    "write_depth",
]


def __getattr__(name: str) -> Any:
    if name == "hrnet":
        return import_module("pose.hrnet")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)

"""A child's 3D skeleton, posture and face-free pictures from a phone's RGB and depth scan.

The names below are stable. Importing this package does not import torch; the first estimator does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pose.analysis.frame import FrameAnalysis, analyse_frame
from pose.analysis.quality import QualityLimits
from pose.analysis.scan import Analysis, analyse_scan
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
from pose.privacy.anonymise import Anonymised, anonymise
from pose.privacy.face_detector import FaceDetector
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
from pose.scan.calibration import Calibration, parse_calibration
from pose.scan.depth_file import parse_depth, write_depth
from pose.scan.frame import BrokenFrame, Frame, Scan
from pose.scan.reader import read_scan, read_scan_files

if TYPE_CHECKING:
    from pose import hrnet
    from pose.estimators.loading import load_estimator, load_pair

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
    # Imported on first use, because they import torch.
    if name == "hrnet":
        import pose.hrnet as hrnet

        return hrnet
    if name == "load_estimator":
        from pose.estimators.loading import load_estimator

        return load_estimator
    if name == "load_pair":
        from pose.estimators.loading import load_pair

        return load_pair
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""A child's 3D skeleton, posture and face-free pictures from a phone's RGB and depth scan.

The names below are stable. Importing them loads no torch: that comes with the first estimator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pose.analysis import Analysis, analyse_scan
from pose.anonymise import Anonymised, anonymise
from pose.calibration import Calibration, Intrinsics, parse_calibration
from pose.depthmap import DepthMap, parse_depth, write_depth
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
from pose.estimator import Estimator, Person
from pose.floor import floor_height
from pose.frame_analysis import FrameAnalysis, analyse_frame
from pose.lifting import lift
from pose.posture import Posture, PostureEstimate, classify_posture
from pose.quality import QualityLimits
from pose.results import DriftResult, FrameResult, FrameStatus, PersonResult, ScanResult, result_schema
from pose.scan import BrokenFrame, Frame, Scan, read_scan, read_scan_files
from pose.skeleton import Skeleton

if TYPE_CHECKING:
    from pose import hrnet as hrnet
    from pose.estimator import load_estimator as load_estimator
    from pose.estimator import load_pair as load_pair

__all__ = [
    "Analysis",
    "Anonymised",
    "BrokenFrame",
    "Calibration",
    "DepthMap",
    "DeviceUnavailable",
    "DriftResult",
    "Estimator",
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
    "Scan",
    "ScanResult",
    "Skeleton",
    "analyse_frame",
    "analyse_scan",
    "anonymise",
    "classify_posture",
    "floor_height",
    "hrnet",
    "lift",
    "load_estimator",
    "load_pair",
    "parse_calibration",
    "parse_depth",
    "read_scan",
    "read_scan_files",
    "result_schema",
    "write_depth",
]


def __getattr__(name: str) -> Any:
    # These bring torch with them.
    if name == "hrnet":
        import pose.hrnet as hrnet

        return hrnet
    if name == "load_estimator":
        from pose.estimator import load_estimator

        return load_estimator
    if name == "load_pair":
        from pose.estimator import load_pair

        return load_pair
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

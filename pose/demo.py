"""The shortest example: `python -m pose.demo [SCAN_FOLDER]`. Without a folder, it renders a scan first."""

import sys
import tempfile
from pathlib import Path

import pose
from pose.synthetic.scan_writer import write_scan


def main() -> None:
    with tempfile.TemporaryDirectory() as new:
        folder = sys.argv[1] if len(sys.argv) > 1 else write_scan(Path(new) / "scan", 1, "standing", frames=3)
        scan = pose.read_scan(folder)
    result = pose.analyse_scan(scan, pose.load_estimator("depth-hrnet")).result
    print(f"{result.posture}, body length {result.body_length_m} m, {result.frames_used} frames used")
    for frame in result.frames:
        print(f"frame {frame.order}: {frame.status}, {frame.reason or 'nothing missing'}")


if __name__ == "__main__":
    main()

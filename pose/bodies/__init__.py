"""Rendered people with known joints: what the depth network learns from, and what tests measure against.

`write_scan` writes a whole scan as a phone would, with its truth beside it; `render` gives one depth map.
"""

from pose.bodies.rendering import Rendering, render
from pose.bodies.scan_writer import write_scan

__all__ = ["Rendering", "render", "write_scan"]

"""From 2D keypoints and a depth map to a 3D skeleton and its posture."""

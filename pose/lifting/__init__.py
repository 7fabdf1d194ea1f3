"""From 2D keypoints and depth to a skeleton in metres, and the posture."""

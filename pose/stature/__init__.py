"""A child's stature from a depth map and a skeleton."""

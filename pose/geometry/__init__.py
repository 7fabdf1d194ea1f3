"""Cameras and depth maps as arrays. Knows no file and no person."""

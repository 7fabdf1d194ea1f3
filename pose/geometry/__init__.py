"""Cameras and depth maps as arrays, without files or people."""

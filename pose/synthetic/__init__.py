"""Rendered people with known joints, to train on and to measure against."""

"""Rendered people with known joints."""

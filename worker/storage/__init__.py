"""Storages: scans are read from one, results are written to another."""

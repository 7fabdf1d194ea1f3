"""Where scans are read from and results are written to."""

"""Who works on a scan, how often it crashed, and which scans are still open."""

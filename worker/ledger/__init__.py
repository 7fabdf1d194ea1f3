"""Which process works on a scan, how often the scan crashed one, and which scans are still open."""

"""Numbers about scans and workers, in Prometheus' text format."""

"""Erase a scan: remove everything that names it, on request or after `RETENTION_DAYS`."""

"""How a scan is announced."""

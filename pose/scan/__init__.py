"""Read the bytes of a scan into frames. Nothing in a file is trusted."""

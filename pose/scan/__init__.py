"""Read the files of a scan into frames. No file is trusted."""

"""Pages in HTML that show the results of scans, each a single file that loads nothing."""

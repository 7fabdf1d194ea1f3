"""Published and own weights: which there are, where they come from, how they are checked and kept."""

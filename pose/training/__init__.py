"""Train the depth network on rendered people."""

"""What is done to one scan, from its message to its final event."""

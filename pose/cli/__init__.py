"""The `pose` command."""

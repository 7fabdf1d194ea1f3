"""Find people in frames."""

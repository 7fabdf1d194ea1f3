"""No face leaves: find all heads and redact them."""

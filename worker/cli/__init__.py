"""`python -m worker`: enqueue, status, watch, health and the rest."""

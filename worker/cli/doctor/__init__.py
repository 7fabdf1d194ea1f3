"""`python -m worker doctor`: whether everything that a worker needs is right, and what to do if it is not."""

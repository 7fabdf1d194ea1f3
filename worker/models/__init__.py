"""Load the models in the process that uses them."""

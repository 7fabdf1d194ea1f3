"""Measure the models and the redaction against known truth."""

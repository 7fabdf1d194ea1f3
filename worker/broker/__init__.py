"""Celery's transports for Redis and for a folder, and what cannot be read from them."""

"""Celery's brokers, Redis and files, made safe against entries that are not messages."""

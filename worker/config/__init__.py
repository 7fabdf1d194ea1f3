"""Settings and what is made from them: Celery's configuration, logging, TLS, URLs."""

"""What this project adds to Celery's worker, one file for each thing."""

"""What this project changes in Celery's worker, one file for each change; docs/architecture.md says why."""

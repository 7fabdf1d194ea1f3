"""The worker: takes scans off a queue, analyses them, and stores the results.

`worker.app` is the Celery app, so `celery -A worker …` finds it.
"""

from worker.app import app

__all__ = ["app"]

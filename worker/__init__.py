"""The worker: takes scans off a queue, has them analysed, and stores what comes out.

`worker.app` is the Celery app, so `celery -A worker …` finds it.
"""

from worker.app import app

__all__ = ["app"]

"""Messages of docs/queues.md: what can wait comes after the scans of today."""

from __future__ import annotations

import re

from kombu import Consumer, Queue

from tests.support.celery_app import celery_app
from tests.support.running import ROOT
from worker.broker.waiting import waiting_scans
from worker.config.settings import read_settings
from worker.metrics.look import Place, look


def test_the_scan_of_today_overtakes_bulk_work_that_was_sent_before_it(here, redis_server):
    (url,) = redis_server.emptied(8)
    settings = read_settings(broker_url=url)
    page = (ROOT / "docs" / "queues.md").read_text()
    (script,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.M | re.S)
    exec(script.replace("redis://localhost:6379/0", url), {})
    app = celery_app(settings)
    assert waiting_scans(app).queued == {"last-year", "today"}
    assert look(app, settings).waiting[Place.LIST] == 2
    taken: list[str] = []
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.basic_qos(0, 1, False)

        def take(body, message) -> None:
            taken.append(body[1]["scan_id"])
            message.ack()

        with Consumer(channel, [Queue("celery")], callbacks=[take], accept=["json"]):
            while len(taken) < 2:
                connection.drain_events(timeout=30)
    assert taken == ["today", "last-year"]

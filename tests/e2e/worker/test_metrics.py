"""Prometheus' view of a real worker and a real beat."""

from __future__ import annotations

import json
import socket
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.support.running import World, wait_until

# A scan without files is tried again and again.
PATIENT = {"ARRIVALS_QUIET_S": "10", "INCOMPLETE_S": "600", "RETRY_BASE_S": "60"}


def scraped(port: int) -> dict[str, float]:
    """The sum of each metric; nothing while beat does not serve it."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except (HTTPError, URLError):
        return {}
    assert "incomplete" not in text
    families = text_string_to_metric_families(text)
    return {family.name: sum(each.value for each in family.samples) for family in families}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_retried_scan_waits_with_its_first_time_and_a_worker_is_counted(here, redis_server):
    (url,) = redis_server.emptied(8)
    port = free_port()
    world = World(here, {"CELERY_BROKER_URL": url, "METRICS_PORT": str(port), **PATIENT})
    (here / "scans").mkdir()
    with redis_server.client(8) as client, world.start("celery", "-A", "worker", "beat"):
        world.enqueue("no-files-yet")
        (entry,) = wait_until(lambda: client.lrange("celery", 0, -1), "the message")
        before = wait_until(lambda: scraped(port), "a scrape")
        assert (before["pose_waiting_scans"], before["pose_processes"]) == (1, 0)
        assert before["pose_load"] == float("inf")
        assert before["pose_oldest_waiting_seconds"] > 0
        with world.start("celery", "-A", "worker", "worker"):
            (retried,) = wait_until(lambda: client.zrange("celery:delayed", 0, -1), "a retry")
            sent, again = (json.loads(each)["headers"]["pose_sent_at"] for each in (entry, retried))
            assert sent == again
            # A scan that moves while a look is taken may be counted twice in it.
            after = wait_until(lambda: (now := scraped(port)).get("pose_load") == 1 and now, "a worker")
    assert (after["pose_workers"], after["pose_beat_seen"]) == (1, 1)
    assert after["pose_waiting_scans"] + after["pose_running_scans"] == after["pose_processes"] == 1

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
    assert "no-files-yet" not in text
    families = text_string_to_metric_families(text)
    return {family.name: sum(each.value for each in family.samples) for family in families}


def samples(port: int) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


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


def test_a_worker_tells_what_became_of_scans_and_processes_and_nothing_of_a_person(
    here, redis_server, make_scan
):
    (url,) = redis_server.emptied(8)
    port = free_port()
    settings = {"METRICS_PORT": str(port), "MAX_DEATHS": "1", "LOCK_TTL_S": "3", "RETRY_BASE_S": "0.2"}
    world = World(here, {"CELERY_BROKER_URL": url, **settings})
    person = "zoe-1234"
    for name in ("seen", "poison"):
        world.put_scan(name, make_scan(frames=2, person=person))
    world.put_scan("broken", make_scan(frames=1) | {"camera_calibration.txt": b"nothing"})
    with world.start("celery", "-A", "tests.support.faulty_app", "worker") as worker:
        wait_until(lambda: scraped(port).get("pose_worker_ready") == 1, "a worker that is ready")
        world.enqueue("seen", "poison", "broken")
        for name, end in (("seen", "completed"), ("broken", "failed")):
            world.wait_for(name, end)
        assert "poison" in world.wait_for("poison", "failed")["reason"]
        with redis_server.client(8) as client:
            client.lpush("celery", "no message")
        wait_until(lambda: scraped(port).get("pose_refused_entries"), "an entry that was refused")
        # The parent reads once a second what its processes count.
        wait_until(lambda: scraped(port).get("pose_scans", 0) >= 3, "all scans")
        found = samples(port)
        text = str(found)
        assert worker.stop() == 0
        assert scraped(port) == {}
    assert found["pose_scans_total", "completed", "none"] == 1
    assert found["pose_scans_total", "failed", "invalid"] == 1
    assert found["pose_scans_total", "failed", "quarantine"] == 1
    assert found["pose_crashes_total", "killed"] == 1
    assert found["pose_quarantines_total", "crashes"] == 1
    assert found["pose_frames_total", "no_person"] == found["pose_pictures_withheld_total", "no_person"] == 2
    assert found["pose_verdicts_total", "repeat"] == 1
    assert found["pose_stage_seconds_count", "analyse"] == found["pose_stage_seconds_count", "cover"] == 1
    assert 0 < found["pose_stage_seconds_sum", "cover"] < found["pose_stage_seconds_sum", "analyse"]
    models = [set(labels) for labels in found if labels[0] == "pose_model_info"]
    assert sum({"cpu", "depth-hrnet", "pose"} < each for each in models) == 1
    assert sum({"cpu", "haar", "faces"} < each for each in models) == 1
    assert not any(name in text for name in (person, "seen", "poison", "broken"))

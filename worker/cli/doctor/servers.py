"""Checks of what a worker talks to: broker, result store, ledger, storages, clocks, beat."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from typing import Any, Final, cast

import redis
from celery import Celery

from worker.broker.dead_letters import dead_list
from worker.cli.doctor.finding import Finding, ok, warning, without_secrets, wrong
from worker.cli.health import BrokerUnusable, waiting_messages
from worker.config.redis_client import open_redis
from worker.config.settings import Settings
from worker.config.urls import FileUrl, parse_storage_url
from worker.intake.inbox import debounced_key, work_list
from worker.keys import parse_scan_id
from worker.ledger.base import BEAT, LedgerError
from worker.ledger.opening import open_ledger
from worker.scans.services import PROBE, PROBE_FOLDER, try_reading
from worker.storage.base import Storage, StorageError
from worker.storage.opening import open_storages

MAX_SKEW_S: Final = 5.0
FULL: Final = 0.9  # of maxmemory
_START_REDIS: Final = "start Redis, or correct the address, user and password"


def check_broker(settings: Settings, app: Celery) -> list[Finding]:
    """Connect to the broker, write into it, and count what waits."""
    queue = app.conf.task_default_queue
    address = without_secrets(settings.broker_url)
    try:
        waiting = waiting_messages(app, [queue])
    except BrokerUnusable as error:
        cure = f"{_START_REDIS} in CELERY_BROKER_URL"
        return [wrong("broker", f"{address}: {error}", cure)]
    found = [ok("broker", f"{address}: {waiting} messages wait in the queue {queue}")]
    if _is_one_redis(settings.broker_url):
        found += _check_redis("broker", settings.broker_url, durable=True)
        found += _check_dead("broker", settings.broker_url, queue)
    return found


def check_result_store(settings: Settings, app: Celery) -> list[Finding]:
    """Store a result in Celery's result store, and remove it."""
    url = settings.result_backend
    address = without_secrets(url)
    task = f"doctor-{uuid.uuid4().hex}"
    try:
        if _is_one_redis(url):
            # Celery's own client would try for minutes.
            with open_redis(url) as client:
                key = f"celery-task-meta-{task}"
                client.set(key, "", ex=60)
                client.delete(key)
        else:
            app.backend.store_result(task, None, "SUCCESS")
            app.backend.forget(task)
    except Exception as error:  # of any result store
        cure = "start it, or correct CELERY_RESULT_BACKEND; without it no task ends"
        return [wrong("result store", f"{address}: cannot be used: {_reason(error)}", cure)]
    return [ok("result store", f"{address}: a result was stored and removed")]


def check_ledger(settings: Settings) -> list[Finding]:
    """Do with an invented scan in the ledger what is done with each scan, and undo it."""
    where = without_secrets(settings.redis_url) if settings.redis_url else "a file in RUN_DIR"
    scan_id = parse_scan_id(f"doctor-{uuid.uuid4().hex}")
    try:
        ledger = open_ledger(settings)
        lease = ledger.lock(scan_id)
        if lease is not None:
            lease.release()
        try:
            ledger.set_deadline(scan_id, ledger.now() + 3600)
            ledger.begin(scan_id)
            ledger.end(scan_id)
            ledger.ask_cancel(scan_id)
        finally:
            ledger.forget(scan_id)
    except LedgerError as error:
        cure = f"{_START_REDIS} in REDIS_URL" if settings.redis_url else "make RUN_DIR writable"
        return [wrong("ledger", f"{where}: {error}", cure)]
    found = [ok("ledger", f"{where}: a lock, a deadline and a count were written and removed")]
    if settings.redis_url and settings.redis_url != settings.broker_url:
        found += _check_redis("ledger", settings.redis_url, durable=False)
    return found


def check_beat(settings: Settings) -> list[Finding]:
    """Look for the lock of the beat that leads."""
    try:
        seen = open_ledger(settings).is_locked(BEAT)
    except LedgerError:
        return [wrong("beat", "not known: the ledger cannot be used", "mend the ledger first")]
    if seen:
        return [ok("beat", f"one ran within the last {settings.lock_ttl_s:.0f} s")]
    text = f"none ran within the last {settings.lock_ttl_s:.0f} s: lost scans are not sent again"
    finding = wrong if settings.redis_url else warning
    return [finding("beat", text, "run `celery -A worker beat` once, beside the workers")]


def check_inbox(settings: Settings) -> list[Finding]:
    """Count what waits in the inbox, if there is one."""
    if settings.arrivals_list is None or settings.redis_url is None:
        return []
    name = settings.arrivals_list
    try:
        with open_redis(settings.redis_url, master_name=settings.redis_master_name) as client:
            waiting, work = cast("Any", client.llen(name)), cast("Any", client.llen(work_list(name)))
            settling = cast("Any", client.zcard(debounced_key(name)))
    except (redis.RedisError, OSError) as error:
        return [wrong("inbox", f"{name}: {_reason(error)}", f"{_START_REDIS} in REDIS_URL")]
    text = f"{name}: {waiting} entries wait, {work} are in work, {settling} scans wait for more files"
    return [ok("inbox", text), *_check_dead("inbox", settings.redis_url, name)]


def check_storages(settings: Settings) -> list[Finding]:
    """Read scans; read, write, list and delete results. Compare the clocks."""
    try:
        scans, results = open_storages(settings)
    except StorageError as error:
        return [wrong("storage", str(error), "correct AWS_PROFILE and the credentials of S3")]
    made = _is_default_and_missing(settings)
    folder = parse_storage_url(settings.results_url)
    had_results = not isinstance(folder, FileUrl) or folder.path.exists()
    try:
        return [
            _check_scans(scans, settings.scans_url, made),
            *_check_results(results, settings.results_url),
        ]
    finally:
        if isinstance(folder, FileUrl) and not had_results:
            with suppress(OSError):
                folder.path.rmdir()


def _is_default_and_missing(settings: Settings) -> bool:
    """Return whether scans are in `scans/` here because nothing is set, and it is not there yet."""
    folder = parse_storage_url(settings.scans_url)
    is_default = "scans_url" not in settings.model_fields_set
    return is_default and isinstance(folder, FileUrl) and not folder.path.exists()


def _check_scans(scans: Storage, url: str, is_made_later: bool) -> Finding:
    if is_made_later:
        return ok("storage", f"SCANS_URL={url}: not there yet; a worker makes this folder")
    try:
        try_reading(scans)
    except StorageError as error:
        return wrong("storage", f"SCANS_URL={url}: {error}", _cure_of(url, "SCANS_URL"))
    return ok("storage", f"SCANS_URL={url}: can be listed and read")


def _check_results(results: Storage, url: str) -> list[Finding]:
    try:
        try_reading(results)
        try:
            results.write(PROBE, b"probe", "text/plain")
            before = time.time()
            listed = results.objects(PROBE_FOLDER, 10)
            here = (before + time.time()) / 2
            read = results.read(PROBE, 100)
        finally:
            results.delete(PROBE)
        purged = results.purge(PROBE_FOLDER)
    except StorageError as error:
        return [wrong("storage", f"RESULTS_URL={url}: {error}", _cure_of(url, "RESULTS_URL"))]
    if read != b"probe" or not listed:
        text = f"RESULTS_URL={url}: what was written does not come back"
        return [wrong("storage", text, "take a storage that shows an object once it is written")]
    found = [ok("storage", f"RESULTS_URL={url}: an object was written, listed, read and deleted")]
    if purged.problem:
        cure = "allow what deploy/s3-policy.json lists: erasing a scan needs it"
        found.append(warning("storage", f"RESULTS_URL={url}: {purged.problem}", cure))
    modified, age_s = listed[0].modified, listed[0].age_s
    if modified is not None and age_s is not None:
        found.append(_check_skew("the storage of results", modified + age_s - here))
    return found


def check_redis_clock(settings: Settings) -> list[Finding]:
    """Compare the clock of Redis with this machine's."""
    if settings.redis_url is None:
        return []
    try:
        with open_redis(settings.redis_url, master_name=settings.redis_master_name) as client:
            client.ping()  # connects
            before = time.time()
            seconds, microseconds = cast("tuple[int, int]", client.time())
            here = (before + time.time()) / 2
    except (redis.RedisError, OSError) as error:
        return [wrong("clock", f"that of Redis is not known: {_reason(error)}", "mend Redis first")]
    return [_check_skew("Redis", seconds + microseconds / 1e6 - here)]


def _check_skew(whose: str, skew_s: float) -> Finding:
    text = f"that of {whose} is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    if abs(skew_s) <= MAX_SKEW_S:
        return ok("clock", text)
    return wrong("clock", text, "let NTP (chrony, systemd-timesyncd) set the clocks of all machines")


def _check_redis(check: str, url: str, *, durable: bool) -> list[Finding]:
    """Look for a Redis that forgets: one that evicts keys, is nearly full, or writes nothing to its disk."""
    try:
        with open_redis(url) as client:
            info = cast("dict[str, Any]", client.info())
    except (redis.RedisError, OSError) as error:
        text = f"Redis does not tell about itself: {_reason(error)}"
        return [warning(check, text, "allow INFO to this user, to have these checks")]
    found = [ok(check, f"Redis {info.get('redis_version')}, {info.get('used_memory_human')} in use")]
    policy, limit = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory", 0)
    if policy != "noeviction" and limit:
        text = f"Redis evicts keys when it is full ({policy}): messages and locks would be lost"
        found.append(wrong(check, text, "set maxmemory-policy to noeviction"))
    if limit and info.get("used_memory", 0) > FULL * limit:
        text = f"Redis is nearly full: {info['used_memory_human']} of {info['maxmemory_human']}"
        found.append(warning(check, text, "raise maxmemory, or find out what fills it"))
    if durable and not info.get("aof_enabled"):
        text = "Redis has no append-only file: after a restart it has forgotten the queue"
        found.append(warning(check, text, "start it with --appendonly yes"))
    if info.get("role") not in (None, "master"):
        found.append(wrong(check, "this Redis is a replica, which takes no writes", "name the master"))
    return found


def _check_dead(check: str, url: str, source: str) -> list[Finding]:
    try:
        with open_redis(url) as client:
            dead = cast("int", client.llen(dead_list(source)))
    except (redis.RedisError, OSError):
        return []  # another check says it
    if not dead:
        return []
    text = f"{dead} entries could not be read"
    return [
        warning(check, text, f"look at them, then delete the list: redis-cli LRANGE {dead_list(source)} 0 -1")
    ]


def _is_one_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://")) and ";" not in url


def _cure_of(url: str, setting: str) -> str:
    if url.startswith("file://"):
        return f"make the folder, mount its disk, or correct {setting}"
    return f"correct {setting}, AWS_ENDPOINT_URL_S3 or the keys; deploy/s3-policy.json has the rights"


def _reason(error: Exception) -> str:
    """Return what went wrong. The text of an error of Redis may hold an address; its first word is a code."""
    if isinstance(error, redis.ResponseError):
        return f"Redis refuses it: {str(error).partition(' ')[0]}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__

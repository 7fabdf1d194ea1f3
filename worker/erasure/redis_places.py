"""The places in Redis where a scan id may stand, besides the ledger and the stream of events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, cast

import redis

from worker.broker.delayed import delayed_set
from worker.config.settings import Settings
from worker.erasure.mentions import scans_named, words_in, words_in_dead_letter
from worker.intake.inbox import debounced_key, work_list
from worker.intake.inbox_entry import InboxEntry, parse_entry
from worker.keys import InvalidRequest, ScanId
from worker.ledger.opening import open_ledger
from worker.queue import message

CHUNK: Final = 500

Numbers = Counter[str]  # of removed entries, by scan id


def remove_from_queues(channel: Any, queues: Iterable[str], scan_ids: frozenset[ScanId]) -> Numbers:
    """Remove the messages that wait in the queues, that are to come later, or that a worker has.

    Args:
        channel: Of kombu's transport for Redis.
        queues: Names of queues. Those that a worker or a producer has declared are added.
        scan_ids: The scans.
    """
    removed: Numbers = Counter()
    client = channel.client
    for queue in _bound_queues(channel) | set(queues):
        for priority in channel.priority_steps:
            key = channel._q_for_pri(queue, priority)
            removed += _remove_from_sorted_set(client, delayed_set(key), scan_ids)
            removed += _remove_from_list(client, key, scan_ids, scans_named)
    # Messages that a worker has taken. It runs them all the same, and finds the tombstones.
    for tag, entry in client.hscan_iter(channel.unacked_key, count=CHUNK):
        if named := scan_ids & scans_named(entry):
            with client.pipeline(transaction=True) as transaction:
                transaction.hdel(channel.unacked_key, tag)
                transaction.zrem(channel.unacked_index_key, tag)
                if transaction.execute()[0]:
                    removed.update(named)
    return removed


def remove_from_dead_lists(client: redis.Redis, scan_ids: frozenset[ScanId]) -> Numbers:
    """Remove the dead letters in which one of the ids is a word, from each list `….:dead`."""
    removed: Numbers = Counter()
    for key in client.scan_iter(match="*:dead", count=CHUNK, _type="list"):
        removed += _remove_from_list(client, key, scan_ids, words_in_dead_letter)
    return removed


def remove_from_results(backend: Any, scan_ids: frozenset[ScanId]) -> Numbers:
    """Remove the results of Celery's tasks, from a result store in Redis."""
    client = backend.client
    removed: Numbers = Counter()
    for keys in _chunks(client.scan_iter(match=backend.task_keyprefix + b"*", count=CHUNK)):
        for key, result in zip(keys, client.mget(keys), strict=True):
            named = set() if result is None else scan_ids & scans_named(result)
            if named and client.delete(key):
                removed.update(named)
    return removed


def remove_from_inbox(client: redis.Redis, settings: Settings, scan_ids: frozenset[ScanId]) -> Numbers:
    """Remove the announcements of the scans. Keep the other scans of an entry."""
    arrivals = settings.arrivals_list
    removed: Numbers = Counter()
    if arrivals is None:
        return removed
    removed.update(scan_id for scan_id in scan_ids if client.zrem(debounced_key(arrivals), scan_id))
    for key in (arrivals, work_list(arrivals)):
        for raw in _entries(client, key):
            try:
                entry = parse_entry(raw, settings)
                named = scan_ids & {*entry.announced, *entry.touched}
            except InvalidRequest:
                entry, named = InboxEntry(), scan_ids & words_in(raw)
            if named and _replace_entry(client, key, raw, entry, settings, scan_ids):
                removed.update(named)
    return removed


def _replace_entry(
    client: redis.Redis,
    key: str,
    raw: bytes,
    entry: InboxEntry,
    settings: Settings,
    scan_ids: frozenset[ScanId],
) -> bool:
    """Remove an entry of the inbox, and announce its other scans by entries of their own.

    Return whether the entry was still there.
    """
    arrivals = cast("str", settings.arrivals_list)
    touched = [scan_id for scan_id in entry.touched if scan_id not in scan_ids]
    with client.pipeline(transaction=True) as transaction:
        transaction.lrem(key, 1, cast("Any", raw))
        for scan_id in entry.announced:
            if scan_id not in scan_ids:
                transaction.lpush(arrivals, json.dumps(message(scan_id)))
        if touched:
            due = open_ledger(settings).now() + settings.arrivals_quiet_s
            transaction.zadd(debounced_key(arrivals), dict.fromkeys(touched, due))
        return bool(transaction.execute()[0])


def _bound_queues(channel: Any) -> set[str]:
    """Return the names of all queues that a worker or a producer has declared."""
    queues = set()
    for key in channel.client.scan_iter(match=channel.keyprefix_queue % "*", count=CHUNK, _type="set"):
        for member in channel.client.smembers(key):
            queues.add(member.decode().split(channel.sep)[-1])
    return queues


def _remove_from_list(
    client: Any, key: Any, scan_ids: frozenset[ScanId], named_in: Callable[[bytes], set[str]]
) -> Numbers:
    removed: Numbers = Counter()
    for raw in _entries(client, key):
        named = scan_ids & named_in(raw)
        if named and client.lrem(key, 1, raw):
            removed.update(named)
    return removed


def _remove_from_sorted_set(client: Any, key: str, scan_ids: frozenset[ScanId]) -> Numbers:
    removed: Numbers = Counter()
    for raw, _ in client.zscan_iter(key, count=CHUNK):
        named = scan_ids & scans_named(raw)
        if named and client.zrem(key, raw):
            removed.update(named)
    return removed


def _entries(client: Any, key: Any) -> Iterator[bytes]:
    """Yield the entries of a list. Entries that move meanwhile may be missed or come twice."""
    # From the end, where workers take entries: removing an entry does not shift those that come next.
    for end in range(client.llen(key), 0, -CHUNK):
        yield from reversed(client.lrange(key, max(0, end - CHUNK), end - 1))


def _chunks(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk

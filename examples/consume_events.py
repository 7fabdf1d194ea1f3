"""Follow what happens to scans: `REDIS_URL=redis://host:6379/0 python examples/consume_events.py [NAME]`."""

import contextlib
import json
import os
import sys

import redis

stream, group = os.environ.get("EVENTS_STREAM", "pose:events"), "my-service"
name = sys.argv[1] if len(sys.argv) > 1 else "consumer-1"
retry = redis.retry.Retry(redis.backoff.ExponentialBackoff(cap=10, base=1), -1)  # waits for Redis
client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2, retry=retry)
with contextlib.suppress(redis.ResponseError):  # the group is there already
    client.xgroup_create(stream, group, id="0", mkstream=True)  # "0": from the first event that is kept
unfinished = True  # at first what this consumer was given earlier and has not acknowledged
while True:
    found = client.xreadgroup(group, name, {stream: "0" if unfinished else ">"}, count=100, block=1000)
    entries = found[0][1] if found else []
    unfinished = unfinished and bool(entries)
    for entry, fields in entries:
        event = json.loads(fields["event"]) if fields else {}  # none: it was dropped as too old
        print(event.get("type"), event.get("subject"), event.get("data"), flush=True)
        client.xack(stream, group, entry)

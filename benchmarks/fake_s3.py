"""An S3 server that invents its objects, for storages larger than a real server here could hold.

It lists scans `scan-0000000`, … in the bucket `scans`, and gives a `status.json` of each in the bucket
`results`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from worker.scans.completeness import digest_of
from worker.storage.base import StoredObject

PAGE: Final = 1000
SIZE: Final = 100_000
MODIFIED: Final = datetime(2026, 1, 1, tzinfo=UTC)
XML: Final = '<?xml version="1.0" encoding="UTF-8"?>'
HEAD: Final = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>scans</Name>'


@dataclass(frozen=True)
class Stored:
    """What the server has.

    Attributes:
        scans: Number of scans.
        files: Number of files of each.
        unannounced: Numbers of scans without a status.
        changed: Numbers of scans whose files were others when they were analysed.
        finished_at: When all scans were finished, in seconds of the epoch.
    """

    scans: int
    files: int
    unannounced: tuple[int, ...]
    changed: tuple[int, ...]
    finished_at: float

    def status(self, number: int) -> bytes | None:
        """Return the status of a scan."""
        if number in self.unannounced:
            return None
        at = datetime.fromtimestamp(self.finished_at, UTC).isoformat()
        files = "0" * 64 if number in self.changed else digest_of(objects_of(number, self.files))
        fields = {
            "scan_id": name_of(number),
            "status": "completed",
            "updated_at": at,
            "finished_at": at,
            "files": files,
        }
        return json.dumps(fields).encode()


def name_of(number: int) -> str:
    """Return the id of a scan."""
    return f"scan-{number:07d}"


def objects_of(number: int, files: int) -> list[StoredObject]:
    """Return the files of a scan, as they are listed."""
    name = name_of(number)
    return [StoredObject(f"{name}/rgb/{i:03d}.jpg", SIZE, MODIFIED.timestamp()) for i in range(files)]


class Handler(BaseHTTPRequestHandler):
    """Answers `ListObjectsV2` and `GetObject`."""

    protocol_version = "HTTP/1.1"
    stored: Stored

    def do_GET(self) -> None:
        """See `http.server`."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "list-type" in query:
            self._answer(200, self._list(query).encode())
            return
        parts = url.path.strip("/").split("/")
        body = self.stored.status(int(parts[1][5:])) if parts[1].startswith("scan-") else None
        missing = f"{XML}<Error><Code>NoSuchKey</Code></Error>".encode()
        self._answer(*((404, missing) if body is None else (200, body)))

    def _list(self, query: dict[str, str]) -> str:
        files, prefix = self.stored.files, query.get("prefix", "")
        if prefix:
            return self._page([self._object(int(prefix[5:12]), i) for i in range(files)], None)
        after = query.get("start-after")
        # `scan-00000070` comes after all files of `scan-0000007`.
        start = int(after[5:12]) + 1 if after else 0
        if "delimiter" in query:
            start = int(query.get("continuation-token", start))
            end = min(start + PAGE, self.stored.scans)
            names = [
                f"<CommonPrefixes><Prefix>{name_of(i)}/</Prefix></CommonPrefixes>" for i in range(start, end)
            ]
            return self._page(names, end if end < self.stored.scans else None)
        first = int(query.get("continuation-token", start * files))
        end = min(first + PAGE, self.stored.scans * files)
        objects = [self._object(*divmod(i, files)) for i in range(first, end)]
        return self._page(objects, end if end < self.stored.scans * files else None)

    @staticmethod
    def _object(number: int, file: int) -> str:
        return (
            f"<Contents><Key>{name_of(number)}/rgb/{file:03d}.jpg</Key>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"
            f"<Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )

    @staticmethod
    def _page(entries: list[str], token: int | None) -> str:
        more = "false" if token is None else "true"
        following = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
        about = f"<KeyCount>{len(entries)}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
        body = "".join(entries)
        return f"{XML}{HEAD}{about}<IsTruncated>{more}</IsTruncated>{following}{body}</ListBucketResult>"

    def _answer(self, status: int, body: bytes) -> None:
        # One packet: two would wait for each other.
        head = f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\nContent-Type: application/xml\r\n"
        self.wfile.write(f"{head}Date: {formatdate(usegmt=True)}\r\n\r\n".encode() + body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def command_of(stored: Stored) -> list[str]:
    """Return the command that runs a server. Its first line of output is its port."""
    return [sys.executable, "-m", "benchmarks.fake_s3", json.dumps(asdict(stored))]


if __name__ == "__main__":
    known = json.loads(sys.argv[1])
    Handler.stored = Stored(**known)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()

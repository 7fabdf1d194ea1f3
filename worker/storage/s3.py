"""Storage in S3 or in a server that is compatible with it."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from botocore.utils import parse_timestamp
from urllib3.exceptions import HTTPError

from worker.config.secrets import s3_keys
from worker.storage.base import (
    InvalidKey,
    ObjectMissing,
    Purged,
    ScanTooLarge,
    Storage,
    StorageUnavailable,
    StoredObject,
    is_key,
    split_key,
)

CONNECT_TIMEOUT_S: Final = 5
READ_TIMEOUT_S: Final = 30
TRIES: Final = 3
CHUNK: Final = 256 * 1024
DELETE_THREADS: Final = 8
_Version = tuple[str, str]  # key and version id
_Deletable = str | _Version
_DENIED: Final = ("AccessDenied", "403", "MethodNotAllowed")
_CUT: Final = "its answer was cut off"
# Errors that a person can do something about. Others are reported by their code.
_REASONS: Final = {
    "NoSuchBucket": "its bucket does not exist",
    "AccessDenied": "access was denied to our credentials",
    "InvalidAccessKeyId": "our credentials were refused",
    "SignatureDoesNotMatch": "our credentials were refused",
    "QuotaExceeded": "it is full",
    "403": "access was denied to our credentials",
}


class S3Storage(Storage):
    """Objects of a bucket below a prefix.

    Credentials come from `worker.config.secrets`, or else from where boto3 finds them: the environment, its
    files, or the machine's role. Create it after a fork, because processes cannot share connections.
    """

    def __init__(self, bucket: str, prefix: str, name: str, endpoint_url: str | None = None) -> None:
        self.name = name
        self._bucket = bucket
        self._prefix = prefix
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=16,
            # Other S3 servers have one host name for all buckets.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            # Older servers do not know the checksums that boto3 adds to each request by default. `write`
            # sends an MD5 instead, which all servers check.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._errors():
            core = botocore.session.get_session()
            core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_time)
            access, secret = s3_keys() or (None, None)
            session = boto3.session.Session(access, secret, botocore_session=core)
            self._client = session.client(
                "s3",
                endpoint_url=endpoint_url,
                config=config,
                # Other servers have no regions, but a signature needs one.
                region_name=session.region_name or ("us-east-1" if endpoint_url else None),
            )

    def objects(self, folder: str, limit: int) -> list[StoredObject]:
        start = self._key(folder) + "/"
        found: list[StoredObject] = []
        for page in self._pages(Prefix=start):
            found += self._objects_of(page)
            if len(found) > limit:
                return found[: limit + 1]
        return sorted(found, key=lambda each: each.key)

    def folders(self, after: str = "", limit: int | None = None) -> list[str]:
        found: list[str] = []
        for names in self.folder_pages(after):
            found += names
            if limit is not None and len(found) >= limit:
                break
        return sorted(found, key=lambda name: f"{name}/")

    def folder_pages(self, after: str = "") -> Iterator[list[str]]:
        for page in self._pages(Prefix=self._prefix, Delimiter="/", **self._after(after)):
            names = (
                each["Prefix"][len(self._prefix) :].rstrip("/") for each in page.get("CommonPrefixes", [])
            )
            yield [name for name in names if is_key(name)]

    def object_pages(self, after: str = "") -> Iterator[list[StoredObject]]:
        return map(self._objects_of, self._pages(Prefix=self._prefix, **self._after(after)))

    def read(self, key: str, max_bytes: int) -> bytes:
        _, chunks = self.stream(key, max_bytes)
        return b"".join(chunks)

    def stream(self, key: str, max_bytes: int) -> tuple[int, Iterator[bytes]]:
        """Return the length of an object and an iterator over its content. Both raise as `read` does."""
        with self._errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            except ClientError as error:
                if _code(error) in ("NoSuchKey", "404"):
                    raise ObjectMissing(f"{self.name} holds no such object") from None
                raise
            if "ContentLength" not in answer:  # a broken connection would look like its end
                raise StorageUnavailable(f"{self.name}: {_CUT}")
        return answer["ContentLength"], self._chunks(answer["Body"], max_bytes)

    def _chunks(self, body: StreamingBody, max_bytes: int) -> Iterator[bytes]:
        done = 0
        with self._errors(), closing(body):
            while chunk := body.read(CHUNK):
                done += len(chunk)
                if done > max_bytes:
                    raise ScanTooLarge(f"an object has more than {max_bytes} bytes")
                yield chunk

    def write(self, key: str, data: bytes, content_type: str) -> None:
        checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        with self._errors():
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(key),
                Body=data,
                ContentType=content_type,
                ContentMD5=checksum,
            )

    def delete(self, key: str) -> None:
        with self._errors():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def purge(self, folder: str) -> Purged:
        start = self._key(folder) + "/"
        # Without versions first: that needs fewer rights, and is all in a bucket that keeps no versions.
        with self._errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            objects = [each for page in map(self._check_page, pages) for each in page.get("Contents", [])]
        refused = self._delete_each({each["Key"] for each in objects})
        try:
            versions, markers = self._versions(start)
        except _VersionsDenied as error:
            return Purged(len(objects) - len(refused), f"{self.name}: earlier versions: {error}")
        refused |= self._delete_each(versions)
        # Without its delete marker, a version that may not be deleted would be the object again.
        kept = {each[0] if isinstance(each, tuple) else each for each in refused}
        refused |= self._delete_each({each for each in markers if each[0] not in kept})
        count = len(refused)
        problem = f"{self.name}: {count} objects or versions may not be deleted" if count else None
        return Purged(max(len(objects), len(versions) - count), problem)

    def _versions(self, start: str) -> tuple[set[_Version], set[_Version]]:
        """Return the versions and the delete markers of objects whose key starts with `start`."""
        with self._errors():
            try:
                paginator = self._client.get_paginator("list_object_versions")
                found = paginator.paginate(Bucket=self._bucket, Prefix=start)
                pages = [self._check_page(page) for page in found]
            except ClientError as error:
                if _code(error) in _DENIED:
                    raise _VersionsDenied("they may not be listed (s3:ListBucketVersions)") from None
                if _code(error) in ("NotImplemented", "501"):
                    return set(), set()  # a server without versions
                raise
        versions, markers = (
            {(each["Key"], each["VersionId"]) for page in pages for each in page.get(kind, [])}
            for kind in ("Versions", "DeleteMarkers")
        )
        return versions, markers

    def _delete_each(self, objects: Collection[_Deletable]) -> set[_Deletable]:
        """Delete objects by their keys, or versions. Return those that may not be deleted."""

        def delete(each: _Deletable) -> bool:
            key, version = (each, {}) if isinstance(each, str) else (each[0], {"VersionId": each[1]})
            with self._errors():
                try:
                    self._client.delete_object(Bucket=self._bucket, Key=key, **version)
                except ClientError as error:
                    if _code(error) not in _DENIED:
                        raise
                    return False
            return True

        with ThreadPoolExecutor(DELETE_THREADS) as threads:
            done = threads.map(delete, objects)
            return {each for each, deleted in zip(objects, done, strict=True) if not deleted}

    def _pages(self, **options: str) -> Iterator[Any]:
        """Yield the answers of `list_objects_v2`, one for each call."""
        with self._errors():
            pages = iter(
                self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **options)
            )
        while True:
            with self._errors():
                page = next(pages, None)
                if page is None:
                    return
                self._check_page(page)
            yield page

    def _objects_of(self, page: Any) -> list[StoredObject]:
        found = []
        with self._errors():
            time_there = _time_of(page)
            for each in page.get("Contents", []):
                key = each["Key"][len(self._prefix) :]
                # Leave out, among others, the empty objects "rgb/" by which consoles show a folder.
                if is_key(key):
                    modified = each["LastModified"].timestamp()
                    found.append(StoredObject(key, each["Size"], modified, time_there - modified))
        return found

    def _after(self, folder: str) -> dict[str, str]:
        # "0" comes after "/", so `a0` comes after all keys of the folder `a`.
        return {"StartAfter": f"{self._prefix}{folder}0"} if folder else {}

    def _check_page(self, page: Any) -> Any:
        """Return a page of a list if it is whole. boto3 reads an answer without a body as an empty page."""
        if "Name" not in page and "KeyCount" not in page:
            raise StorageUnavailable(f"{self.name}: {_CUT}")
        return page

    def _key(self, key: str) -> str:
        return self._prefix + "/".join(split_key(key))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = _code(error)
            raise StorageUnavailable(f"{self.name}: {_REASONS.get(code, f'it answered {code}')}") from None
        except (NoCredentialsError, PartialCredentialsError):
            raise StorageUnavailable(f"{self.name}: there are no credentials for it") from None
        except InvalidKey:
            raise
        except ValueError:  # raised by botocore for a time or a number that is cut off
            raise StorageUnavailable(f"{self.name}: {_CUT}") from None
        except (ResponseParserError, KeyError, RecursionError):
            # botocore raises RecursionError for a server that redirects without end.
            raise StorageUnavailable(f"{self.name}: its answer is not that of an S3 server") from None
        except (BotoCoreError, HTTPError, OSError) as error:
            # Leave out the error's own text: it may contain the object's URL.
            raise StorageUnavailable(f"{self.name}: it cannot be reached ({type(error).__name__})") from None


class _VersionsDenied(Exception):
    """Raised when the versions of objects may not be listed."""


def _parse_time(value: Any) -> datetime:
    """Return a time of an answer. Botocore's own parser takes three quarters of the time of a listing."""
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found
    except (TypeError, ValueError):
        pass
    return parse_timestamp(value)


def _time_of(answer: Any) -> float:
    """Return when the server gave an answer, by its own clock; by ours if it does not say."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(said).timestamp()
    except ValueError:
        return time.time()


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "an error"))

from __future__ import annotations

from pathlib import Path

import pytest

from worker.config.urls import FileUrl, S3Url, parse_storage_url, url_of_folder


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///data/scans", FileUrl(Path("/data/scans"))),
        ("file://localhost/data", FileUrl(Path("/data"))),
        ("file:///data/my%20scans", FileUrl(Path("/data/my scans"))),
        ("s3://bucket", S3Url("bucket", "")),
        ("s3://bucket/", S3Url("bucket", "")),
        ("s3://bucket/a/b", S3Url("bucket", "a/b/")),
        ("s3://bucket/a/b/", S3Url("bucket", "a/b/")),
    ],
)
def test_a_url_names_a_folder_or_a_bucket_and_its_prefix(url, expected):
    assert parse_storage_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/data",
        "data",
        "file://data",
        "file://host/data",
        "file:///data/../etc",
        "http://host/x",
        "s3://",
        "s3:///prefix",
        "s3://Bucket",
        "s3://a/../b",
        "s3://key:secret@bucket/x",
        "s3://bucket/x?y",
        "s3://bucket:80/x",
        "s3://bucket:port/x",
    ],
)
def test_other_urls_are_refused_and_not_repeated(url):
    with pytest.raises(ValueError) as error:
        parse_storage_url(url)
    assert "secret" not in str(error.value)


def test_the_url_of_a_folder_names_that_folder(tmp_path):
    folder = tmp_path / "with space & ümlaut%20"
    assert parse_storage_url(url_of_folder(folder)) == FileUrl(folder)

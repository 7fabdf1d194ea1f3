"""Weights from a bucket."""

from __future__ import annotations

import pytest

from pose.errors import DownloadError, WeightsNotFound
from pose.hrnet import VARIANTS
from pose.weights.sources import open_weights, pull
from pose.weights.store import WeightsStore
from tests.support.published import THIN, publish, same, thin_state, write_pth
from worker.config.settings import load_settings
from worker.models import s3_weights as weights_source
from worker.models.s3_weights import S3Source
from worker.storage.base import StorageUnavailable

NAME = "hrnet-w32-256x192"
FILE = "w.bin"
CONTENT = bytes(range(256)) * 3000  # more than one piece


@pytest.fixture(autouse=True)
def _settings_of_this_test():
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


@pytest.fixture
def url(s3_path):
    return f"s3://{s3_path}"


@pytest.fixture
def put(s3_client, bucket, s3_path):
    """put(name, content) puts an object where the source looks."""
    prefix = s3_path.removeprefix(f"{bucket}/")
    return lambda name, content: s3_client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=content)


def fetch(source, folder, max_bytes=10**6, progress=lambda done, total: None):
    to = folder / "downloads" / FILE
    source.fetch(FILE, to, max_bytes=max_bytes, sha256="", progress=progress)
    return to.read_bytes()


def test_a_file_is_fetched_with_its_progress(url, put, tmp_path):
    put(FILE, CONTENT)
    told = []
    assert fetch(S3Source(url), tmp_path, progress=lambda *given: told.append(given)) == CONTENT
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) > 2


def test_a_missing_file_is_reported(url, tmp_path):
    with pytest.raises(WeightsNotFound, match=rf"the bucket of weights holds no {FILE}"):
        fetch(S3Source(url), tmp_path)


def test_a_file_that_is_too_large_is_not_kept(url, put, tmp_path):
    put(FILE, CONTENT)
    with pytest.raises(DownloadError, match="more than 1000 bytes"):
        fetch(S3Source(url), tmp_path, max_bytes=1000)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_bucket_that_is_not_there_is_told(url, tmp_path, monkeypatch):
    monkeypatch.setattr(weights_source, "TRIES", 1)
    with pytest.raises(DownloadError, match="the bucket of weights: its bucket does not exist"):
        fetch(S3Source("s3://no-such-bucket-of-weights"), tmp_path)


def test_a_transfer_that_is_cut_off_starts_again(url, put, tmp_path, monkeypatch):
    put(FILE, CONTENT)
    source = S3Source(url)
    stream, tries = source._storage.stream, []

    def cutting(key, max_bytes):
        size, chunks = stream(key, max_bytes)
        tries.append(key)
        return size, half(chunks, len(tries))

    def half(chunks, number):
        yield next(chunks)
        if number == 1:
            raise StorageUnavailable("the bucket of weights: cut")
        if number > 2:
            yield from chunks

    monkeypatch.setattr(source._storage, "stream", cutting)
    assert fetch(source, tmp_path) == CONTENT
    assert len(tries) == 3


@pytest.mark.parametrize("url", ["s3://", "s3://Bucket", "s3://bucket?x=1", "file:///weights"])
def test_a_url_that_names_no_bucket_is_refused(url):
    with pytest.raises(ValueError, match="must"):
        S3Source(url)


def test_a_profile_that_does_not_exist_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(DownloadError, match="ProfileNotFound"):
        S3Source("s3://bucket/weights")


def test_pose_finds_it_by_its_scheme_and_a_fleet_pulls_from_its_bucket(url, put, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = write_pth(tmp_path / "w32.pth", thin_state())
    first = WeightsStore(tmp_path / "first")
    facts = first.add(NAME, file, own=True)
    store, source = open_weights(url)
    assert isinstance(source, S3Source)
    with pytest.raises(WeightsNotFound):
        pull(NAME, store, source)

    put(f"{NAME}.safetensors", first.path(NAME).read_bytes())
    assert pull(NAME, store, source) == facts
    assert same(store.load(NAME).tensors, thin_state())


def test_a_fleets_bucket_may_hold_the_published_file(url, put, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "w32", THIN)
    file = write_pth(tmp_path / "w32.pth", thin_state())
    publish(monkeypatch, NAME, file)
    put(file.name, file.read_bytes())
    store = WeightsStore(tmp_path / "store")
    assert pull(NAME, store, S3Source(url))["source_file"] == file.name
    put(file.name, b"damaged")
    store.path(NAME).unlink()
    with pytest.raises(DownloadError, match="cannot be used"):
        pull(NAME, store, S3Source(url))

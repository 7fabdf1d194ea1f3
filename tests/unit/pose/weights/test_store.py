"""The store of weights: what goes in comes out, and nothing else does."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
import time
from pathlib import Path

import platformdirs
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pose.detectors import build_detector
from pose.errors import InvalidWeights
from pose.hrnet import VARIANTS
from pose.weights import store as stores
from pose.weights.ingest import digest
from pose.weights.registry import REGISTRY
from pose.weights.store import WeightsStore
from tests.support.published import THIN, as_mmpose, publish, same, thin_state, write_pth

NAME = "hrnet-w32-256x192"
OTHER = "hrnet-w32-384x288"
SMALL_DETECTOR = "ssdlite320-mobilenet-v3-large"


@pytest.fixture(autouse=True)
def _thin(monkeypatch):
    monkeypatch.setitem(VARIANTS, "w32", THIN)


@pytest.fixture
def store(tmp_path):
    return WeightsStore(tmp_path / "store")


@pytest.fixture
def file(tmp_path):
    return write_pth(tmp_path / "w32_256x192.pth", as_mmpose(thin_state()))


def header_of(path):
    with safe_open(path, framework="pt") as opened:
        return dict(opened.metadata())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_added_weights_are_loaded_exactly(store, file):
    facts = store.add(NAME, file, own=True)
    checkpoint = store.load(NAME)
    assert same(checkpoint.tensors, thin_state())
    assert checkpoint.facts == facts == header_of(store.path(NAME))
    assert (facts["name"], facts["variant"], facts["input_size"]) == (NAME, "w32", "192x256")


def test_weights_of_a_detector_are_stored_too(store, tmp_path):
    state = build_detector(SMALL_DETECTOR).state_dict()
    store.add(SMALL_DETECTOR, write_pth(tmp_path / "d.pth", state), own=True)
    checkpoint = store.load(SMALL_DETECTOR)
    assert same(checkpoint.tensors, state)
    assert checkpoint.facts["kind"] == "detector"
    assert store.verify(SMALL_DETECTOR) == checkpoint.facts


def test_a_published_file_does_not_need_own(store, file, monkeypatch):
    publish(monkeypatch, NAME, file, digits=8)
    facts = store.add(NAME, file)
    assert facts["version"] == facts["source_sha256"][:8]
    assert len(facts["source_sha256"]) == 64  # all of it is known by now


def test_an_unpublished_file_is_refused_without_own(store, file):
    with pytest.raises(InvalidWeights, match="--own"):
        store.add(NAME, file)
    assert not store.folder.exists()
    assert store.add(NAME, file, own=True)["version"].startswith("own-")


def test_a_file_of_another_store_keeps_its_facts(store, file, tmp_path, monkeypatch):
    other = WeightsStore(tmp_path / "other")
    facts = other.add(NAME, file, own=True)
    with pytest.raises(InvalidWeights, match="--own"):
        store.add(NAME, other.path(NAME))
    assert store.add(NAME, other.path(NAME), own=True) == facts
    with pytest.raises(InvalidWeights, match=f"its name is '{NAME}', expected '{OTHER}'"):
        store.add(OTHER, other.path(NAME), own=True)
    publish(monkeypatch, NAME, file)
    published = other.add(NAME, file)
    assert store.add(NAME, other.path(NAME)) == published


def test_a_file_that_does_not_fit_leaves_the_stored_weights(store, file, tmp_path):
    facts = store.add(NAME, file, own=True)
    broken = write_pth(tmp_path / "broken.pth", {"final_layer.weight": torch.ones(17, 32, 1, 1)})
    with pytest.raises(InvalidWeights, match="missing"):
        store.add(NAME, broken, own=True)
    assert store.load(NAME).facts == facts
    assert names_in(store.folder) == [f"{NAME}.safetensors"]


def test_the_error_for_missing_weights_says_what_to_do(store):
    assert not store.has(NAME)
    expected = rf"`pose weights pull {NAME}` where there is a network, or `pose weights add {NAME} FILE`"
    with pytest.raises(InvalidWeights, match=expected):
        store.load(NAME)
    assert not store.folder.exists()


@pytest.mark.parametrize("call", ["path", "has", "load", "verify"])
def test_an_unknown_name_is_refused(store, call):
    with pytest.raises(ValueError, match=r"unknown weights '\.\./hrnet'"):
        getattr(store, call)("../hrnet")


def test_a_changed_byte_on_the_disk_is_found_at_each_load(store, file):
    store.add(NAME, file, own=True)
    path = store.path(NAME)
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    for call in (store.load, store.verify):
        with pytest.raises(
            InvalidWeights, match=rf"{NAME} in the store: damaged.*`pose weights pull {NAME}`"
        ):
            call(NAME)


def test_a_truncated_file_is_refused(store, file):
    store.add(NAME, file, own=True)
    path = store.path(NAME)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        store.load(NAME)


def rewritten(path, changes, tensors=None):
    """The store's file with another header, its digest right again."""
    facts = {**header_of(path), **changes}
    facts = {key: value for key, value in facts.items() if value is not None}
    tensors = load_file(path) if tensors is None else tensors
    save_file(tensors, path, {**facts, "digest": digest(tensors, facts)})


@pytest.mark.parametrize(
    "changes",
    [{"name": OTHER}, {"variant": "w48"}, {"input_size": "288x384"}, {"input_size": None},
     {"kind": "detector"}, {"naming": "mmpose"}, {"source_sha256": None}],
)  # fmt: skip
def test_a_header_that_does_not_agree_with_the_name_is_refused(store, file, changes):
    store.add(NAME, file, own=True)
    rewritten(store.path(NAME), changes)
    with pytest.raises(InvalidWeights, match=f"(its|header without) {next(iter(changes))}"):
        store.load(NAME)


def test_a_header_changed_by_hand_is_found(store, file):
    store.add(NAME, file, own=True)
    path = store.path(NAME)
    save_file(load_file(path), path, {**header_of(path), "version": "c161b7de"})
    with pytest.raises(InvalidWeights, match="damaged"):
        store.load(NAME)


def test_verify_checks_every_name_and_shape(store, file):
    store.add(NAME, file, own=True)
    path = store.path(NAME)
    tensors = load_file(path)
    del tensors["conv1.weight"]
    rewritten(path, {}, tensors)
    store.load(NAME)
    with pytest.raises(InvalidWeights, match=r"missing \(1\): conv1\.weight"):
        store.verify(NAME)


def test_entries_has_all_names_and_the_facts_of_their_files(store, file):
    assert store.entries() == dict.fromkeys(REGISTRY)
    facts = store.add(NAME, file, own=True)
    store.path(OTHER).write_bytes(b"damaged")
    assert store.entries() == {**dict.fromkeys(REGISTRY), NAME: facts, OTHER: {}}


def test_a_failed_write_leaves_no_file(store, file, monkeypatch):
    def full(tensors, path, facts):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(NAME, file, own=True)
    assert names_in(store.folder) == []


def test_the_file_has_its_name_only_when_it_is_on_the_disk(store, file, monkeypatch):
    happened = []

    def noting(name):
        call = getattr(os, name)

        def noted(*given):
            happened.append(name)
            return call(*given)

        monkeypatch.setattr(os, name, noted)

    noting("fsync")
    noting("replace")
    store.add(NAME, file, own=True)
    assert happened == ["fsync", "replace", "fsync"]


def test_others_may_read_what_was_stored(store, file):
    store.add(NAME, file, own=True)
    assert stat.S_IMODE(store.path(NAME).stat().st_mode) == 0o644


def test_a_read_only_folder_is_an_os_error(file, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OSError):
        WeightsStore(tmp_path / "taken" / "store").add(NAME, file, own=True)


def test_two_processes_can_add_the_same_weights(store, file, tmp_path):
    copy = shutil.copy(file, tmp_path / "copy.pth")
    threads = [
        threading.Thread(target=store.add, args=(NAME, path), kwargs={"own": True})
        for path in (file, Path(copy)) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(store.load(NAME).tensors, thin_state())
    assert names_in(store.folder) == [f"{NAME}.safetensors"]


def test_each_name_has_a_lock_that_others_wait_for(store):
    order = []

    def wait():
        with WeightsStore(store.folder).lock(NAME):
            order.append("second")

    with store.lock(NAME):
        waiting = threading.Thread(target=wait)
        waiting.start()
        with store.lock(OTHER):
            time.sleep(0.1)
            order.append("first")
    waiting.join(60)
    assert order == ["first", "second"]


def test_the_default_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = WeightsStore().folder
    assert folder == Path(platformdirs.user_cache_dir("pose-worker")) / "weights"
    assert folder.is_relative_to(tmp_path)
    assert names_in(tmp_path) == []

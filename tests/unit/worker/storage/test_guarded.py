from __future__ import annotations

import pytest

from worker.config.urls import url_of_folder
from worker.ledger.base import LeaseLost
from worker.storage.base import StoredObject
from worker.storage.guarded import LockGuardedStorage
from worker.storage.opening import open_storage


def test_without_the_lock_it_reads_but_does_not_change_anything(tmp_path):
    storage = open_storage(url_of_folder(tmp_path), "the storage of results")
    lost: list[bool] = []

    def check() -> None:
        if lost:
            raise LeaseLost("lost")

    guarded = LockGuardedStorage(storage, check)
    guarded.write("scan/a", b"1", "text/plain")
    guarded.write("scan/b", b"2", "text/plain")
    guarded.delete("scan/b")
    lost.append(True)
    with pytest.raises(LeaseLost):
        guarded.write("scan/a", b"other", "text/plain")
    with pytest.raises(LeaseLost):
        guarded.delete("scan/a")
    assert guarded.read("scan/a", 10) == b"1"
    assert guarded.objects("scan", 10) == [StoredObject("scan/a", 1)]
    assert guarded.folders() == ["scan"]
    assert guarded.name == "the storage of results"

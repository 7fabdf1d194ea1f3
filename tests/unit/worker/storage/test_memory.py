from __future__ import annotations

import pytest

from worker.storage.base import InvalidKey, ObjectMissing, ScanTooLarge, StoredObject
from worker.storage.memory import MemoryStorage


def test_it_keeps_the_contract_of_a_storage():
    storage = MemoryStorage({"scan/a": b"12"})
    storage.write("scan/b/c", b"3", "text/plain")
    assert storage.objects("scan", 10) == [StoredObject("scan/a", 2), StoredObject("scan/b/c", 1)]
    assert len(storage.objects("scan", 0)) == 1
    assert storage.folders() == ["scan"]
    assert storage.read("scan/b/c", 1) == b"3"
    with pytest.raises(ScanTooLarge):
        storage.read("scan/a", 1)
    storage.delete("scan/a")
    storage.delete("scan/a")
    with pytest.raises(ObjectMissing):
        storage.read("scan/a", 1)
    with pytest.raises(InvalidKey):
        storage.write("scan/../a", b"", "text/plain")

from __future__ import annotations

import pytest

from worker.cli.doctor.finding import without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:hun/t@er2@host/0", "redis://***@host/0"),
        ("redis://host/0?password=hunter2", "redis://host/0?***"),
        ("sentinel://:hunter2@a:1;sentinel://:hunter2@b:1", "sentinel://***@a:1;sentinel://***@b:1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("file:///folder", "file:///folder"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, shown):
    assert without_secrets(url) == shown

"""What to do where a server that a test needs is not installed."""

from __future__ import annotations

import os

import pytest


def need(programs: list[str], packages: str) -> None:
    """Skip where a server is not installed; in CI that is an error, so that no test is lost unseen."""
    if programs:
        reason = f"{', '.join(programs)} cannot be found: apt-get install {packages}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)

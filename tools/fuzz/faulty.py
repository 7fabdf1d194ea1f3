"""Readers with known faults, for the tests only: the run must notice each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from hypothesis import strategies as st

from pose.errors import InvalidScan
from tools.fuzz import seeds
from tools.fuzz.mutations import Seed
from tools.fuzz.targets import Target, promise


class Panic(BaseException):
    """An error like those of libraries in Rust: not an `Exception`."""


def read_any(data: bytes) -> None:
    """Do what the input says."""
    match data:
        case b"fine":
            return
        case b"refused":
            raise InvalidScan("depth", "header", "not a header")
        case b"time":
            until = time.process_time() + 1.1
            while time.process_time() < until:
                pass
        case b"panic":
            raise Panic
        case b"memory":
            np.full(40 * 1024 * 1024, 1, np.uint8)
        case b"warning":
            np.float32(1e300)
        case b"promise":
            promise(False, "what was promised")
        case b"person":
            raise InvalidScan("depth", "file", f"no {seeds.CODE}.jpg")
        case b"lines":
            raise InvalidScan("depth", "file", "one\ntwo")
        case _:
            raise KeyError(data)


def reader(read: Callable[[bytes], None], name: str = "faulty") -> Target:
    """Return a target with this reader."""
    return Target(name, 1, read, (Seed(b"fine"),), st.just(b"fine"))


def is_long(data: bytes) -> bool:
    """Return whether an input is one of about one in twenty."""
    return len(data) > 100


def _crash(data: bytes) -> None:
    if is_long(data):
        os.kill(os.getpid(), signal.SIGSEGV)


def _hang(data: bytes) -> None:
    if is_long(data):
        signal.pause()


def _eat(data: bytes) -> None:
    if is_long(data):
        np.full(400 * 1024 * 1024, 1, np.uint8)


ONE_OF_EACH: Final = reader(read_any)
TARGETS: Final = {read.__name__: reader(read, read.__name__) for read in (_crash, _hang, _eat)}

"""Do the same with several things at a time.

OpenCV, libjpeg-turbo, OpenVINO and most of NumPy give up Python's lock while they compute, so threads use
several cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

import cv2

MOST: Final = 4  # each may hold a picture of 24 megapixels, and several copies of it


class _Chosen:
    threads: int | None = None


T = TypeVar("T")
R = TypeVar("R")


def set_threads(threads: int) -> None:
    """Let the analyses of this process use so many threads, and OpenCV one in each.

    OpenCV's own threads wait for each other in loops, which costs a tenth more processor time.
    """
    _Chosen.threads = threads
    cv2.setNumThreads(1)


def in_threads(function: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
    """Yield what a function returns for each thing, in their order.

    There are as many threads as `set_threads` said, else as OpenCV may use, at most `MOST`. With one, the
    calling thread does the work. An error of the function is raised in its turn; nothing more is begun after
    it, but calls that run in other threads go on to their end.

    >>> list(in_threads(abs, [-2, -1, 0]))
    [2, 1, 0]
    """
    threads = min(_Chosen.threads or cv2.getNumThreads(), MOST)
    if threads <= 1 or len(things) <= 1:
        yield from map(function, things)
        return
    futures = []
    try:
        futures += [_pool(threads).submit(function, thing) for thing in things]
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that are kept: face detectors have objects of their own in each."""
    return ThreadPoolExecutor(threads, thread_name_prefix="pose")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of its parent's threads

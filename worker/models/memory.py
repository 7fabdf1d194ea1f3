"""Use little memory: processes share what they import, and give back what a scan needed."""

from __future__ import annotations

import ctypes
import gc
from functools import cache
from typing import Any

from worker.config.logs import get_logger
from worker.config.settings import Settings

log = get_logger(__name__)


def import_libraries(settings: Settings) -> None:
    """Import what the models need, before processes are forked.

    Forked processes share the pages of what was imported, and need no time for it. No model is loaded here:
    it would start threads, which a fork loses, or use the GPU, which a forked process then cannot use. An
    import does neither; only NumPy's OpenBLAS starts threads, and it ends them before a fork.
    """
    try:
        from pose.estimators.loading import choose_runtime
        from pose.estimators.runtime import runtime_version

        runtime_version(choose_runtime(settings.runtime, "cpu"))  # imports it
    except Exception as error:
        # Each process imports them again: it reports the error and ends the worker.
        log.warning("libraries_not_imported", error=type(error).__name__)
    gc.collect()
    gc.freeze()  # the collector would write to these objects, and so copy their pages in each process


def give_back_memory() -> None:
    """Return free memory to the system: the C library keeps up to 100 MB that a scan has used."""
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    """Return glibc's function; None with another C library."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)

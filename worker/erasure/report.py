"""The text that `python -m worker erase` prints."""

from __future__ import annotations

from worker.erasure.erase import Erasure


def describe_erasure(erasure: Erasure) -> str:
    """Return what became of one scan, as lines of text."""
    if erasure.refused:
        return f"{erasure.scan_id}: not erased, as a worker has it: cancel it, or wait for its end"
    removed = ", ".join(f"{number} {kind}" for kind, number in sorted((+erasure.removed).items()))
    lines = [f"{erasure.scan_id}: erased: {removed or 'nothing was stored'}"]
    lines += [f"  may be left: {each}" for each in erasure.left]
    if not erasure.left:
        lines.append("  proven: nothing names it any more but the event scan.erased")
    if erasure.scan_stored:
        lines.append("  its own files are still in the storage of scans; no worker takes them")
    return "\n".join(lines)

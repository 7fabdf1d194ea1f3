"""What a worker counts, for Prometheus. Its parent process keeps the numbers and serves them.

The processes of the pool keep what they count until the parent has room for it (`worker.runtime.reports`). No
label holds a scan id or anything of a person, and the number of series is bounded: a process that goes wrong
cannot fill the memory of the parent or of Prometheus.
"""

from __future__ import annotations

import re
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

# A count on its way to the parent: name of the metric, values of its labels, number.
Count = tuple[str, list[str], float]

MAX_SERIES: Final = 100  # of one metric; further ones are counted as OTHER
MAX_KEPT: Final = 2000  # counts that a process keeps while the parent does not read
OTHER: Final = "other"
SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0)
_LABEL: Final = re.compile(r"[A-Za-z0-9 .,:+/_-]{1,64}")

disable_created_metrics()  # they would double the number of series, and nothing here asks for them
REGISTRY: Final = CollectorRegistry()


# Name, help, labels. Prometheus' names of counters end in `_total`.
_COUNTERS: Final = (
    ("pose_scans", "Scans that ended here.", ("outcome", "reason")),
    ("pose_retries", "Attempts after which a scan is tried again.", ("reason",)),
    ("pose_frames", "Frames of analysed scans.", ("status",)),
    ("pose_frame_faults", "Frames that break a limit of quality.", ("fault",)),
    ("pose_pictures_withheld", "Pictures that were not published.", ("reason",)),
    ("pose_verdicts", "Verdicts on analysed scans.", ("verdict",)),
    ("pose_crashes", "Processes that ended while they worked on a scan.", ("reason",)),
    ("pose_quarantines", "Scans that were put into quarantine here.", ("reason",)),
    ("pose_refused_entries", "Entries that could not be read.", ("list",)),
)
_GAUGES: Final = (
    ("pose_model_info", "1 for what is loaded.", ("role", "model", "version", "runtime", "device")),
    ("pose_gpu_memory_bytes", "Memory of the GPU, of all who use it.", ("device", "state")),
)
METRICS: Final[dict[str, Counter | Gauge | Histogram]] = {
    **{name: Counter(name, text, labels, registry=REGISTRY) for name, text, labels in _COUNTERS},
    **{name: Gauge(name, text, labels, registry=REGISTRY) for name, text, labels in _GAUGES},
    "pose_stage_seconds": Histogram(
        "pose_stage_seconds", "Seconds of a scan, by stage.", ("stage",), registry=REGISTRY, buckets=SECONDS
    ),
}

# A series that appears with its first event has no increase: alerts and rates would miss that event.
_FROM_ZERO: Final = {
    "pose_frames": ("ok", "no_person", "several_persons", "invalid"),
    "pose_pictures_withheld": ("misaligned", "calibration", "orientation", "no_person", "head"),
    "pose_verdicts": ("good", "usable", "repeat"),
    "pose_crashes": ("killed", "time_limit", "ended", "memory"),
    "pose_quarantines": ("crashes", "time_limit"),
    "pose_refused_entries": ("queue", "arrivals"),
    "pose_retries": ("storage", "ledger", "machine", "model", "unknown", "time_limit"),
}
_series: dict[str, set[tuple[str, ...]]] = {name: set() for name in METRICS}


class _Kept:
    """The counts of this process that the parent does not have yet; None in the parent itself."""

    counts: list[Count] | None = None


def keep_for_parent() -> None:
    """Keep counts from now on: this is a process of the pool."""
    _Kept.counts = []


def kept() -> list[Count]:
    """Return the counts that wait for the parent. Whoever hands them over removes them from this list."""
    return [] if _Kept.counts is None else _Kept.counts


def count(name: str, *labels: str, value: float = 1.0) -> None:
    """Add to a counter, observe a value of a histogram, or set a gauge.

    Args:
        name: A key of METRICS.
        labels: The values of its labels, in their order.
        value: To add, to observe or to set.
    """
    bounded = [label if _LABEL.fullmatch(label) else OTHER for label in labels]
    if _Kept.counts is None:
        add([(name, bounded, value)])
    elif len(_Kept.counts) < MAX_KEPT:
        _Kept.counts.append((name, bounded, value))


def add(counts: object) -> None:
    """Add counts to the numbers that are served. What is no `Count` is left out."""
    for each in counts if isinstance(counts, list) else ():
        try:
            name, labels, value = each
            number, known = float(value), _series[name]
            if tuple(labels) not in known and len(known) >= MAX_SERIES:
                labels = [OTHER] * len(labels)
            known.add(tuple(labels))
            _change(METRICS[name].labels(*labels), number)
        except (ValueError, TypeError, LookupError):
            continue


def _change(series: Any, value: float) -> None:
    match series:
        case Counter():
            series.inc(value)
        case Histogram():
            series.observe(value)
        case Gauge():
            series.set(value)


_FAILED: Final = (
    "invalid", "too_large", "incomplete", "quarantine", "time_limit", "storage", "ledger", "model", "machine",
    "unknown",
)  # fmt: skip
add([("pose_scans", ["completed", "none"], 0.0)])
add([("pose_scans", ["failed", _reason], 0.0) for _reason in _FAILED])
for _name, _labels in _FROM_ZERO.items():
    add([(_name, [_label], 0.0) for _label in _labels])

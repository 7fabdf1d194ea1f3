"""Object keypoint similarity (OKS), and rescoring and non-maximum suppression with it.

OKS is COCO's (cocodataset.org, "Keypoint evaluation", section 1.3). Rescoring and non-maximum suppression are
those that the authors of HRNet use for their evaluation (Sun et al., "Deep
high-resolution representation learning for human pose estimation", 2019;
github.com/leoxiaobin/deep-high-resolution-net.pytorch, lib/dataset/coco.py and lib/nms/nms.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# COCO's: how far annotators disagree at each keypoint, relative to the size of the person.
SIGMAS: Final = np.array(
    (
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    )
)
MIN_KEYPOINT_SCORE: Final = 0.2  # only keypoints above it count for a person's score
MAX_OKS: Final = 0.9  # above it, two detections are the same person


def oks(keypoints: FloatArray, others: FloatArray, area: float, other_areas: FloatArray) -> FloatArray:
    """Return the OKS of one person with each of several others, over all 17 keypoints.

    Args:
        keypoints: (17, 2) pixels; others: (n, 17, 2).
        area: of the person in square pixels; other_areas: (n,). OKS uses the mean of both.

    Returns:
        (n,) in 0..1.

    >>> points = np.zeros((17, 2))
    >>> oks(points, np.stack([points, points + 1000]), 400.0, np.array([400.0, 400.0]))
    array([1., 0.])
    """
    squared = ((others - keypoints) ** 2).sum(axis=-1)  # (n, 17)
    size = (area + other_areas) / 2 + np.spacing(1)
    # COCO's definition uses twice the annotators' deviation.
    exponent = squared / (2 * SIGMAS) ** 2 / size[:, None] / 2
    return np.asarray(np.exp(-exponent).mean(axis=-1), np.float64)


def rescore(
    box_scores: ArrayLike, keypoint_scores: ArrayLike, min_score: float = MIN_KEYPOINT_SCORE
) -> FloatArray:
    """Return each person's score: that of the box times the mean keypoint score above `min_score` (else 0).

    Args:
        box_scores: (n,); keypoint_scores: (n, 17).

    Returns:
        (n,) float64.
    """
    scores = np.asarray(keypoint_scores, np.float64)
    counts = scores > min_score
    total = np.where(counts, scores, 0).sum(axis=-1)
    return np.asarray(box_scores, np.float64) * total / np.maximum(counts.sum(axis=-1), 1)


def suppress(
    keypoints: FloatArray, scores: FloatArray, areas: FloatArray, max_oks: float = MAX_OKS
) -> list[int]:
    """Non-maximum suppression: of detections that are too similar, keep the one with the highest score.

    Args:
        keypoints: (n, 17, 2) pixels.
        scores: (n,).
        areas: (n,) square pixels.
        max_oks: keep a detection if its OKS with every better one that is kept is at most this.

    Returns:
        indices of the detections that are kept, highest score first.
    """
    order = np.argsort(scores)[::-1]
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        alike = oks(keypoints[best], keypoints[rest], float(areas[best]), areas[rest])
        order = rest[alike <= max_oks]
    return kept

"""How much two sets of keypoints are alike, and what follows for several boxes around one person.

Object keypoint similarity (OKS) is COCO's (cocodataset.org, "Keypoint evaluation", section 1.3). Rescoring
and non-maximum suppression are those with which the authors of HRNet evaluate (Sun et al., "Deep
high-resolution representation learning for human pose estimation", 2019;
github.com/leoxiaobin/deep-high-resolution-net.pytorch, lib/dataset/coco.py and lib/nms/nms.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# COCO's: how far annotators lie apart at each keypoint, as a share of the person's size.
SIGMAS: Final = np.array(
    (
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    )
)
MIN_KEYPOINT_SCORE: Final = 0.2  # of keypoints that count for a person's score
MAX_OKS: Final = 0.9  # of two people who are not taken for one


def similarity(keypoints: FloatArray, others: FloatArray, area: float, other_areas: FloatArray) -> FloatArray:
    """OKS of one person with each of several, over all 17 keypoints.

    Args:
        keypoints: (17, 2) pixels; others: (n, 17, 2).
        area: the person's in square pixels; other_areas: (n,). The mean of both is the size that counts.

    Returns:
        (n,) in 0..1.
    """
    squared = ((others - keypoints) ** 2).sum(axis=-1)  # (n, 17)
    size = (area + other_areas) / 2 + np.spacing(1)
    # A deviation is twice the annotators' own.
    exponent = squared / (2 * SIGMAS) ** 2 / size[:, None] / 2
    return np.asarray(np.exp(-exponent).mean(axis=-1), np.float64)


def rescore(
    box_scores: ArrayLike, keypoint_scores: ArrayLike, least: float = MIN_KEYPOINT_SCORE
) -> FloatArray:
    """A person's score: the box's, times the mean of the keypoint scores above `least` (0 if there is none).

    Args:
        box_scores: (n,); keypoint_scores: (n, 17).

    Returns:
        (n,) float64.
    """
    scores = np.asarray(keypoint_scores, np.float64)
    counts = scores > least
    total = np.where(counts, scores, 0).sum(axis=-1)
    return np.asarray(box_scores, np.float64) * total / np.maximum(counts.sum(axis=-1), 1)


def suppress(
    keypoints: FloatArray, scores: FloatArray, areas: FloatArray, most: float = MAX_OKS
) -> list[int]:
    """Which people are left when, of any that are too much alike, the one with the highest score is kept.

    Args:
        keypoints: (n, 17, 2) pixels.
        scores: (n,).
        areas: (n,) square pixels.
        most: people stay if their OKS with every better one that stays is at most this.

    Returns:
        indices of those that stay, highest score first.
    """
    order = np.argsort(scores)[::-1]
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        alike = similarity(keypoints[best], keypoints[rest], float(areas[best]), areas[rest])
        order = rest[alike <= most]
    return kept

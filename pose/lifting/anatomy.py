"""Body measures by stature: lengths of bones, and the size of head and trunk.

Proportions change with age: a newborn's head is a quarter of its stature and its thigh a seventh, an adult's
an eighth and a quarter. So each measure is a row of a table over stature, rounded from growth references,
and only one number, the stature, is fitted to a body.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose import keypoints as kp

_STATURE: Final = (0.50, 0.75, 0.90, 1.10, 1.30, 1.70)
_METRES: Final = {
    "trunk": (0.185, 0.275, 0.315, 0.355, 0.405, 0.495),  # middle of the hips to that of the shoulders
    "thigh": (0.075, 0.115, 0.155, 0.210, 0.270, 0.395),
    "shank": (0.075, 0.125, 0.168, 0.230, 0.290, 0.415),
    "upper_arm": (0.076, 0.120, 0.150, 0.195, 0.240, 0.315),
    "forearm": (0.066, 0.100, 0.122, 0.154, 0.190, 0.255),
    "shoulders": (0.120, 0.156, 0.174, 0.206, 0.240, 0.330),  # from joint to joint
    "hips": (0.072, 0.100, 0.112, 0.130, 0.148, 0.184),
    "neck": (0.082, 0.110, 0.126, 0.148, 0.168, 0.205),  # middle of the shoulders to that of the head
    # half breadths and half depths
    "chest_breadth": (0.085, 0.110, 0.120, 0.138, 0.158, 0.215),
    "chest_depth": (0.044, 0.058, 0.062, 0.068, 0.076, 0.105),
    "pelvis_breadth": (0.077, 0.106, 0.116, 0.132, 0.150, 0.195),  # at the hip joints, with the thighs
    "pelvis_depth": (0.060, 0.078, 0.084, 0.092, 0.102, 0.130),
    "head_breadth": (0.048, 0.065, 0.069, 0.071, 0.073, 0.078),
    "head_depth": (0.059, 0.081, 0.086, 0.089, 0.091, 0.098),
    "head_height": (0.063, 0.084, 0.090, 0.097, 0.102, 0.113),
    # radii, a little clothed
    "elbow": (0.022, 0.028, 0.030, 0.032, 0.036, 0.046),
    "wrist": (0.015, 0.018, 0.019, 0.021, 0.023, 0.030),
    "knee": (0.034, 0.044, 0.048, 0.053, 0.058, 0.068),
    "ankle": (0.022, 0.028, 0.030, 0.034, 0.038, 0.045),
}  # fmt: skip
MIN_STATURE: Final = 0.45
MAX_STATURE: Final = 1.90
USUAL_STATURE: Final = 0.90  # of the children who are scanned

# Bones that the stature is fitted to, and their weights. Breadths are left out: they are often foreshortened.
_BONES: Final = (
    (kp.LEFT_HIP, kp.LEFT_KNEE, "thigh", 1.0), (kp.RIGHT_HIP, kp.RIGHT_KNEE, "thigh", 1.0),
    (kp.LEFT_KNEE, kp.LEFT_ANKLE, "shank", 1.0), (kp.RIGHT_KNEE, kp.RIGHT_ANKLE, "shank", 1.0),
    (kp.LEFT_SHOULDER, kp.LEFT_HIP, "trunk", 1.0), (kp.RIGHT_SHOULDER, kp.RIGHT_HIP, "trunk", 1.0),
    (kp.LEFT_SHOULDER, kp.LEFT_ELBOW, "upper_arm", 0.7),
    (kp.RIGHT_SHOULDER, kp.RIGHT_ELBOW, "upper_arm", 0.7),
    (kp.LEFT_ELBOW, kp.LEFT_WRIST, "forearm", 0.7), (kp.RIGHT_ELBOW, kp.RIGHT_WRIST, "forearm", 0.7),
)  # fmt: skip
_LENGTH_SIGMA: Final = 0.12  # of a bone's length among people of one stature, as a share of the length
_MAX_PENALTY: Final = 4.0  # in squared sigmas: a bone that fits worse is an outlier, occluded or wrong


@dataclass(frozen=True)
class Build:
    """The body measures of a person, in metres.

    Attributes:
        stature: the stature to which these measures belong. It is not a measurement of the person's height.

    >>> round(Build(0.9)["thigh"], 3)
    0.155
    """

    stature: float

    def __getitem__(self, measure: str) -> float:
        """Return a measure by its name in the table above."""
        return _measure(self.stature, measure)


@lru_cache(maxsize=4096)  # there are 60 statures in `_grid`, and a lifting asks a hundred times
def _measure(stature: float, measure: str) -> float:
    value = float(np.interp(stature, _STATURE, _METRES[measure]))
    if stature < _STATURE[0]:
        return value * stature / _STATURE[0]
    return value * max(1.0, stature / _STATURE[-1])


def fit_build(
    points: NDArray[np.float64], usable: NDArray[np.bool_], default: float = USUAL_STATURE
) -> Build:
    """Return the build that fits most of a body's bones.

    Args:
        points: (17, 3) metres in any axes, on the surface or inside the body. A few wrong ones do no harm.
        usable: (17,) bool, which points are known.
        default: the stature if no bone is known.
    """
    statures, table = _grid()
    ends = np.array([bone[:2] for bone in _BONES])
    known = usable[ends].all(axis=1)
    if not known.any():
        return Build(default)
    lengths = np.linalg.norm(points[ends[known, 0]] - points[ends[known, 1]], axis=1)
    weights = np.array([bone[3] for bone in _BONES])[known]
    misfit = (lengths / table[:, known] - 1) / _LENGTH_SIGMA  # (statures, bones)
    cost = np.minimum(misfit**2, _MAX_PENALTY) @ weights
    # Prior: usual statures are more likely. It matters only if very few bones are known.
    cost += 0.1 * (np.log(statures / USUAL_STATURE) / 0.35) ** 2
    return Build(float(statures[int(np.argmin(cost))]))


@cache
def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return statures, (N,), and the length of each bone at each of them, (N, bones)."""
    statures = np.geomspace(MIN_STATURE, MAX_STATURE, 60)
    table = [[Build(float(stature))[bone[2]] for bone in _BONES] for stature in statures]
    return statures, np.array(table)

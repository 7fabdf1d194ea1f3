"""Body measures for a stature, with the proportions of a child.

The rows are rounded values from growth references (head circumference and length for age of the WHO child
growth standards, 2006) and from anthropometric surveys of children (Snyder et al., "Anthropometry of infants,
children and youths to age 18", 1977): a newborn's head is a quarter of its length, an adult's an eighth.
Measures are interpolated between two statures; each person then differs from them by a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

_STATURES = (0.50, 0.75, 0.90, 1.10, 1.30, 1.70)
# Girth varies far more between children than bones do. The network must find thin and stout ones.
_GIRTHS = frozenset(
    {"arm", "elbow", "wrist", "thigh", "knee", "calf", "ankle"}
    | {"chest_width", "chest_depth", "waist_width", "waist_depth", "hip_width", "hip_depth"}
)


def _at_statures(*values: float) -> Any:
    """Return a field of `Measures` with its values at each of `_STATURES`."""
    return field(kw_only=True, metadata={"values": values})


@dataclass(frozen=True)
class Measures:
    """Measures of a person in metres. `stature` is the height from sole to crown."""

    stature: float
    head_height: float = _at_statures(0.125, 0.168, 0.180, 0.193, 0.203, 0.225)
    head_breadth: float = _at_statures(0.095, 0.129, 0.137, 0.142, 0.146, 0.155)
    head_length: float = _at_statures(0.118, 0.162, 0.171, 0.178, 0.182, 0.195)
    # chin to the middle between the shoulder joints
    neck: float = _at_statures(0.018, 0.022, 0.028, 0.040, 0.052, 0.078)
    hip_height: float = _at_statures(0.170, 0.280, 0.370, 0.500, 0.628, 0.890)
    knee_height: float = _at_statures(0.100, 0.165, 0.215, 0.288, 0.355, 0.495)
    ankle_height: float = _at_statures(0.026, 0.040, 0.047, 0.056, 0.064, 0.082)
    half_shoulders: float = _at_statures(0.060, 0.078, 0.087, 0.103, 0.120, 0.165)
    half_hips: float = _at_statures(0.036, 0.050, 0.056, 0.065, 0.074, 0.092)
    upper_arm: float = _at_statures(0.076, 0.120, 0.150, 0.195, 0.240, 0.315)
    forearm: float = _at_statures(0.066, 0.100, 0.122, 0.154, 0.190, 0.255)
    hand: float = _at_statures(0.056, 0.080, 0.092, 0.110, 0.130, 0.175)
    foot: float = _at_statures(0.078, 0.118, 0.140, 0.170, 0.200, 0.260)
    # radii
    arm: float = _at_statures(0.022, 0.027, 0.029, 0.031, 0.034, 0.046)
    elbow: float = _at_statures(0.017, 0.022, 0.024, 0.026, 0.029, 0.039)
    wrist: float = _at_statures(0.014, 0.017, 0.018, 0.020, 0.022, 0.029)
    thigh: float = _at_statures(0.037, 0.050, 0.055, 0.061, 0.068, 0.085)
    knee: float = _at_statures(0.026, 0.036, 0.039, 0.044, 0.049, 0.058)
    calf: float = _at_statures(0.025, 0.034, 0.037, 0.041, 0.046, 0.055)
    ankle: float = _at_statures(0.017, 0.023, 0.025, 0.028, 0.031, 0.038)
    neck_radius: float = _at_statures(0.032, 0.041, 0.044, 0.047, 0.051, 0.062)
    # the trunk's half widths and half depths
    chest_width: float = _at_statures(0.056, 0.074, 0.082, 0.094, 0.108, 0.150)
    chest_depth: float = _at_statures(0.046, 0.060, 0.064, 0.070, 0.078, 0.110)
    waist_width: float = _at_statures(0.055, 0.072, 0.077, 0.084, 0.094, 0.135)
    waist_depth: float = _at_statures(0.048, 0.060, 0.063, 0.067, 0.074, 0.105)
    hip_width: float = _at_statures(0.056, 0.076, 0.083, 0.095, 0.109, 0.155)
    hip_depth: float = _at_statures(0.045, 0.060, 0.065, 0.073, 0.082, 0.110)

    @property
    def spine(self) -> float:
        """Distance from the middle of the hip joints to the middle of the shoulder joints."""
        return self.stature - self.head_height - self.neck - self.hip_height


def sample_measures(rng: np.random.Generator, stature: float) -> Measures:
    """Return the measures of a random person.

    Args:
        stature: metres, 0.5 to 1.8. Below 0.5 the proportions stay those of a newborn.
    """
    build = float(np.clip(rng.normal(1.0, 0.11), 0.74, 1.35))
    values = {}
    for measure in fields(Measures)[1:]:  # without the stature
        value = float(np.interp(stature, _STATURES, measure.metadata["values"]))
        if stature > _STATURES[-1]:
            value *= stature / _STATURES[-1]
        value *= float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.1))
        values[measure.name] = value * build if measure.name in _GIRTHS else value
    # Leave room for a trunk, whatever was drawn.
    values["hip_height"] = min(values["hip_height"], 0.56 * stature)
    return Measures(stature=stature, **values)

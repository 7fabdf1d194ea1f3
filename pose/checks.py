"""Checks of what a caller gives: type, shape, dtype and unit, once, where it enters the library.

Each raises a ValueError that says what came and what was expected. Files are another matter: what is wrong in
them is an `InvalidScan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The largest depth that a depth file can hold: 65535 units of a centimetre. Millimetres are above it.
MAX_DEPTH: Final = 656.0

T = TypeVar("T")


def kind_of(value: object) -> str:
    """Return what a value is, for an error message, without its content.

    >>> kind_of(np.zeros((2, 3), np.uint16)), kind_of("text"), kind_of(None)
    ('uint16 (2, 3)', 'str', 'None')
    """
    if isinstance(value, np.ndarray):
        masked = "masked " if isinstance(value, np.ma.MaskedArray) else ""
        return f"{masked}{value.dtype} {value.shape}"
    return "None" if value is None else type(value).__name__


def check_type(value: T, expected: type[Any] | tuple[type[Any], ...], name: str, hint: str = "") -> T:
    """Return the value if it is an `expected`. The hint says how to get one."""
    if not isinstance(value, expected):
        types = expected if isinstance(expected, tuple) else (expected,)
        text = f"{name} is {kind_of(value)}, expected {' or '.join(each.__name__ for each in types)}"
        raise ValueError(f"{text}; {hint}" if hint else text)
    return value


def check_each(values: Sequence[T], expected: type[Any], name: str) -> Sequence[T]:
    """Return the values if they are a list or tuple of `expected`."""
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise ValueError(f"{name} is {kind_of(values)}, expected a list of {expected.__name__}")
    for number, value in enumerate(values):
        check_type(value, expected, f"{name}[{number}]")
    return values


def check_whole(value: int, name: str, limits: tuple[float, float] = (-np.inf, np.inf)) -> int:
    """Return a whole number within the limits as int."""
    low, high = limits
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        expected = "" if np.isinf(low) else f" from {low:g}" + ("" if np.isinf(high) else f" to {high:g}")
        raise ValueError(f"{name} is {value!r:.50}, expected a whole number{expected}")
    return int(value)


def check_choice(value: T, choices: Sequence[T], name: str) -> T:
    """Return the value if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r:.50}, expected one of {', '.join(map(str, choices))}")
    return value


def check_bytes(data: object, name: str) -> bytes:
    """Return the bytes of a file's content, also of a bytearray or memoryview."""
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    if not isinstance(data, bytes):
        raise ValueError(f"{name} is {kind_of(data)}, expected bytes")
    return data


def check_picture(rgb: NDArray[np.uint8], name: str = "rgb") -> NDArray[np.uint8]:
    """Return the picture if it is an (H, W, 3) uint8 array."""
    right = _is_plain(rgb) and rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
    if not right or not rgb.size:
        raise ValueError(f"{name} is {kind_of(rgb)}, expected uint8 (H, W, 3): RGB from 0 to 255")
    return rgb


def check_pictures(pictures: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
    """Return the pictures if they are a list or tuple of (H, W, 3) uint8 arrays."""
    check_each(pictures, np.ndarray, "pictures")
    for number, picture in enumerate(pictures):
        check_picture(picture, f"pictures[{number}]")
    return pictures


def check_size(size: tuple[int, int], name: str) -> tuple[int, int]:
    """Return width and height if both are whole and at least 1."""
    try:
        width, height = size
        whole = width == int(width) >= 1 and height == int(height) >= 1
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{name} is {size!r:.60}, expected width and height in pixels, at least 1")
    return int(width), int(height)


def check_shape(array: NDArray[Any], shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Return the array if it is one, of this shape."""
    if not _is_plain(array) or array.shape != shape:
        raise ValueError(f"{name} is {kind_of(array)}, expected an array of shape {shape}")
    return array


def check_numbers(
    values: ArrayLike, shape: tuple[int, ...], name: str, limits: tuple[float, float] = (-np.inf, np.inf)
) -> NDArray[np.float64]:
    """Return a float64 array of this shape whose numbers are finite and within the limits."""
    try:
        given = np.asarray(values)
    except ValueError:  # lists of several lengths
        given = np.asarray(None)
    is_numbers = given.dtype.kind in "iuf"
    if not is_numbers or given.shape != shape:
        came = f"of shape {given.shape}" if is_numbers else kind_of(values)
        raise ValueError(f"{name} is {came}, expected numbers of shape {shape}")
    array = given.astype(np.float64, copy=False)
    low, high = limits
    if not (array.min() >= low and array.max() <= high and np.isfinite(array).all()):
        expected = "finite numbers" if np.isinf(high) else f"numbers from {low:g} to {high:g}"
        raise ValueError(f"{name} has numbers from {array.min():g} to {array.max():g}, expected {expected}")
    return array


def check_points(points: ArrayLike, axes: int, name: str = "points") -> NDArray[np.float64]:
    """Return the points as a float64 array of (..., axes)."""
    array = np.asarray(points, np.float64)
    if array.shape[-1:] != (axes,):
        raise ValueError(f"{name} are of shape {array.shape}, expected (..., {axes})")
    return array


def check_depth(depth: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return a depth map in metres as a float32 array of height x width."""
    if not _is_floating(depth):
        hint = "; multiply whole millimetres by 0.001" if _is_whole(depth) else ""
        raise ValueError(f"depth is {kind_of(depth)}, expected float32 (H, W), metres{hint}")
    if depth.shape != (height, width):
        came = f"depth has the shape {depth.shape}, but its camera has {width} x {height} pixels"
        raise ValueError(f"{came}: expected (H, W) = ({height}, {width}), one row after the other")
    low, high = depth.min(), depth.max()
    if not (low >= 0 and high <= MAX_DEPTH):  # also if one is NaN
        strange = int(np.count_nonzero(~(np.isfinite(depth) & (depth >= 0))))
        if strange:
            raise ValueError(
                f"depth is NaN, infinite or negative at {strange} of {depth.size} pixels, "
                "expected 0 where there is no measurement"
            )
        raise ValueError(f"depth reaches {high:g}, expected metres; multiply millimetres by 0.001")
    return depth.astype(np.float32, copy=False)


def check_confidence(confidence: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Return the confidence of each pixel if it is a float32 array of height x width, 0 to 1."""
    right = _is_floating(confidence) and confidence.shape == (height, width)
    if not (right and confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(
            f"confidence is {kind_of(confidence)}, expected float32 ({height}, {width}), values 0 to 1"
        )
    return confidence


def _is_plain(value: object) -> TypeGuard[NDArray[Any]]:
    """Return whether a value is an array without a mask: nothing here looks at what a mask hides."""
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def _is_floating(value: object) -> TypeGuard[NDArray[Any]]:
    return _is_plain(value) and np.issubdtype(value.dtype, np.floating)


def _is_whole(value: object) -> bool:
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.integer)

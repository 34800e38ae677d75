"""Checks of what users pass in, each with an error that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_deconv.errors import DeconvError

__all__ = [
    "LARGEST",
    "as_volume",
    "check_array",
    "check_background",
    "check_choice",
    "check_finite",
    "check_image",
    "check_number",
    "check_spacing",
    "check_whole",
]

Scalar = TypeVar("Scalar", bound=np.generic)

LARGEST = 1e15
"""Grey value; beyond it sums of squares overflow in float32."""


def check_choice(value: object, choices: Sequence[object], name: str) -> None:
    """Raise `DeconvError` unless `value` is one of `choices`."""
    if isinstance(value, np.ndarray) or value not in choices:
        expected = ", ".join(repr(choice) for choice in choices)
        raise DeconvError(f"{name}={value!r} is not known: choose one of {expected}.")


def check_array(image: npt.ArrayLike, name: str = "image") -> npt.NDArray[np.generic]:
    """Take anything array-like as a real numeric array of at least two axes.

    Parameters
    ----------
    image : array_like
        Any integer, boolean or real float dtype; (y, x), (z, y, x) or more axes in front.
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray
        The array itself where it was one: never modified, not copied.

    Raises
    ------
    DeconvError
        For masked arrays, complex or non-numeric values, fewer than two axes, no voxels, or what
        looks like RGB.
    """
    if isinstance(image, np.ma.MaskedArray):
        raise DeconvError(
            f"The {name} is a NumPy masked array: pass {name}.filled(0), and mask=~{name}.mask "
            "where the operation takes a mask."
        )
    array = np.asarray(image)
    if np.iscomplexobj(array):
        raise DeconvError(f"The {name} is complex: take its magnitude or real part first.")
    if array.dtype.kind not in "buif":
        raise DeconvError(f"The {name} has dtype {array.dtype}: expected integers or real floats.")
    if array.ndim < 2:
        raise DeconvError(
            f"The {name} has shape {array.shape}: expected (y, x), (z, y, x) or more axes in front."
        )
    if array.size == 0:
        raise DeconvError(f"The {name} is empty, shape {array.shape}: expected at least one voxel.")
    if array.ndim > 2 and array.shape[-1] in (3, 4) and min(array.shape[-3:-1]) > 8:
        raise DeconvError(
            f"The {name} has shape {array.shape}, which looks like RGB colours: "
            "choose one channel, or convert it to grey values."
        )
    return array


def check_finite(array: npt.NDArray[np.generic], name: str = "image") -> None:
    """Raise `DeconvError` if an array has NaN, infinite or extremely large values."""
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise DeconvError(
            f"The {name} has {bad} NaN or infinite voxels of {array.size}: replace them, "
            "or leave them out with a mask where the operation takes one."
        )
    largest = max(float(array.max()), -float(array.min()))
    if largest > LARGEST:
        raise DeconvError(
            f"The {name} has values up to {largest:.3g}, more than single precision can compute "
            f"with: divide it so that no value is above {LARGEST:.0e}."
        )


def check_image(image: npt.ArrayLike, name: str = "image") -> npt.NDArray[np.generic]:
    """Take anything array-like as a finite real array of at least two axes (see `check_array`)."""
    array = check_array(image, name)
    check_finite(array, name)
    return array


def check_spacing(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, ...] | None:
    """Take a voxel size as `ndim` positive numbers.

    Parameters
    ----------
    spacing : float, sequence of float or None
        Micrometres, (z, y, x) or (y, x); one number stands for all axes. None stays None.
    ndim : int
        Number of space axes.

    Raises
    ------
    DeconvError
        If it is not `ndim` finite numbers above 0.
    """
    if spacing is None:
        return None
    try:
        values = np.atleast_1d(np.asarray(spacing, dtype=float))
    except (TypeError, ValueError, OverflowError):
        values = np.array([np.nan])
    if values.size == 1:
        values = np.repeat(values.ravel(), ndim)
    axes = ("z", "y", "x")[-ndim:]
    if values.shape != (ndim,) or not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise DeconvError(
            f"spacing={spacing!r} is not a voxel size: expected {ndim} numbers above 0, "
            f"({', '.join(axes)}) in µm."
        )
    return tuple(values.tolist())


def check_number(value: Any, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """Take one finite number from `low` to `high`.

    Raises
    ------
    DeconvError
        If it is none; `name` is what to call it.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if np.isfinite(number) and low <= number <= high:
        return number
    expected = "a finite number"
    if np.isfinite(high):
        expected = f"a number from {low:g} to {high:g}"
    elif np.isfinite(low):
        expected = f"a number, {low:g} or more"
    raise DeconvError(f"{name}={value!r}: expected {expected}.")


def check_whole(value: object, name: str, low: int = 1) -> int:
    """Take a whole number of at least `low`, or raise `DeconvError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise DeconvError(f"{name}={value!r}: expected a whole number of at least {low}.")
    return int(value)


def check_background(
    background: npt.ArrayLike, image: npt.NDArray[np.generic]
) -> npt.NDArray[np.generic]:
    """Take a background: one number, or an array that is broadcast to the image's shape.

    Raises
    ------
    DeconvError
        If it is not light (finite, not negative), does not fit, or hides the whole image.
    """
    values = np.asarray(background)
    usable = values.dtype.kind in "buif" and values.size > 0
    if not usable or not np.all(np.isfinite(values)) or values.min() < 0:
        given = repr(background) if np.ndim(background) == 0 else f"array of shape {values.shape}"
        raise DeconvError(
            f"background={given} is not light: expected a number of at least 0, or an array of "
            "such numbers."
        )
    if values.min() > image.max():
        raise DeconvError(
            f"The background, {values.min():.6g} and more, is above the whole image, whose "
            f"brightest voxel is {image.max():.6g}: give it in the image's grey values."
        )
    if values.ndim == 0:
        return values
    try:
        return np.broadcast_to(values, image.shape)
    except ValueError:
        raise DeconvError(
            f"The background has shape {values.shape}, the image {image.shape}."
        ) from None


def as_volume(array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """View a plane (y, x) as a volume (1, y, x); a volume is returned as it is."""
    return array[np.newaxis] if array.ndim == 2 else array

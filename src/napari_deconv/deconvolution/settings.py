"""The settings of a deconvolution that are names and numbers, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from napari_deconv._checks import check_choice, check_number, check_whole
from napari_deconv.deconvolution.levels import MOST_LEVELS
from napari_deconv.deconvolution.methods import METHODS
from napari_deconv.errors import DeconvError
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.regularization import DEFAULT_WEIGHTS, REGULARIZATIONS
from napari_deconv.solvers.stopping import STOPS

__all__ = ["BOUNDARIES", "WITH_AUTOMATIC_WEIGHT", "check_settings", "is_auto"]

BOUNDARIES = ("padded", "half_padded", "circular", "reflect", "zero")

WITH_AUTOMATIC_WEIGHT = ("wiener", "tikhonov", "tv")
"""Methods and regularisations for whose weight there is a rule."""


def check_settings(
    *,
    method: str,
    iterations: int,
    boundary: str,
    acceleration: str | None,
    levels: int | str,
    regularization: str | None,
    regularization_weight: float | str | None,
    damping: float,
    read_noise: float | None,
    stop: str | None,
    gain: float | None,
    offset: float | None,
    keep_every: int | None,
    symmetric_psf: bool,
    **given: object,
) -> dict[str, Any]:
    """Check the settings by themselves and against each other.

    Parameters
    ----------
    method, iterations, boundary, …, keep_every
        As `napari_deconv.deconvolve` takes them.
    **given
        Other parameters that not every method takes, only to see whether they are given.

    Returns
    -------
    dict
        What `Options` holds of them.

    Raises
    ------
    DeconvError
        If one is none of its kind, or has no place beside the others.
    """
    check_choice(method, tuple(METHODS), "method")
    check_choice(boundary, BOUNDARIES, "boundary")
    check_choice(acceleration, ACCELERATIONS, "acceleration")
    check_choice(regularization, REGULARIZATIONS, "regularization")
    check_choice(stop, STOPS, "stop")
    given = {
        "regularization": regularization, "regularization_weight": regularization_weight,
        "damping": damping or None, "read_noise": read_noise, "stop": stop,
        "keep_every": keep_every, "symmetric_psf": symmetric_psf or None, **given,
    }  # fmt: skip
    _refuse(method, given)
    if damping and read_noise is not None:
        raise DeconvError("damping and read_noise are two models of the noise: choose one.")
    return {
        "method": method,
        "iterations": check_whole(iterations, "iterations"),
        "boundary": boundary,
        "acceleration": acceleration,
        "levels": _levels(levels),
        "regularization": regularization,
        "weight": _weight(regularization_weight, method, regularization),
        "damping": check_number(damping, "damping", 0),
        "read_noise": _optional(read_noise, "read_noise", 0),
        "stop": stop,
        "gain": _above_zero(gain, "gain"),
        "offset": _optional(offset, "offset"),
        "symmetric_psf": bool(symmetric_psf),
        "keep_every": None if keep_every is None else check_whole(keep_every, "keep_every"),
    }


def is_auto(value: object) -> bool:
    """Tell whether a background is left to us.

    Raises
    ------
    DeconvError
        If it is another word.
    """
    if isinstance(value, str):
        check_choice(value, ("auto",), "background")
        return True
    return False


def _refuse(method: str, given: Mapping[str, object]) -> None:
    takes = METHODS[method].takes
    for name, value in given.items():
        if value is not None and name not in takes:
            others = ", ".join(repr(other) for other, kind in METHODS.items() if name in kind.takes)
            raise DeconvError(f"method={method!r} takes no {name}: use one of {others}.")


def _levels(levels: int | str) -> int:
    if levels == "auto":
        return MOST_LEVELS
    if isinstance(levels, str):
        raise DeconvError(f"levels={levels!r}: expected 'auto' or a whole number from 1.")
    return check_whole(levels, "levels")


def _weight(given: float | str | None, method: str, regularization: str | None) -> float:
    """Take the weight given, or a default; NaN leaves it to a rule."""
    number = None if given == "auto" else _above_zero(given, "regularization_weight")
    name, default = method, METHODS[method].weight
    if method == "richardson_lucy":
        if regularization is None:
            if given is not None:
                raise DeconvError("regularization_weight has no effect without regularization.")
            return math.nan
        name, default = regularization, DEFAULT_WEIGHTS[regularization]
    if given == "auto" and name not in WITH_AUTOMATIC_WEIGHT:
        raise DeconvError(
            f"regularization_weight='auto': {name!r} has no rule for it, give a number "
            f"[default: {default}]."
        )
    if given is None:
        number = default
    return math.nan if number is None else number


def _optional(value: float | str | None, name: str, low: float = -math.inf) -> float | None:
    return None if value is None else check_number(value, name, low)


def _above_zero(value: float | str | None, name: str) -> float | None:
    number = _optional(value, name)
    if number is not None and number <= 0:
        raise DeconvError(f"{name}={value!r}: expected a number above 0.")
    return number

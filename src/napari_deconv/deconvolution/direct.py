"""The direct filters: one step, no iteration."""

from __future__ import annotations

from math import isnan

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import (
    UNKNOWN_OUTSIDE,
    Problem,
    extend,
    make_model,
    margin_of,
)
from napari_deconv.engines.limits import threads
from napari_deconv.forward import Convolution, centred_at_origin
from napari_deconv.solvers.linear import inverse, penalized_inverse
from napari_deconv.solvers.weights import (
    AutomaticWeights,
    automatic_weights,
    faded_mirror,
    laplacian_penalty,
    wiener_penalty,
)

__all__ = ["filter_directly"]

Float = npt.NDArray[np.float32]
Volume3 = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]


def filter_directly(problem: Problem, options: Options) -> tuple[Float, AutomaticWeights | None]:
    """Filter a volume with Wiener's filter, Tikhonov's, or the inverse.

    Parameters
    ----------
    problem : Problem
        The volume.
    options : Options
        The method, and its weight or None for an automatic one.

    Returns
    -------
    image : ndarray of float32
        (z, y, x), of the image's shape.
    weights : AutomaticWeights or None
        What the rules for an automatic weight found, if there was one to find.
    """
    model = make_model(problem, options.engine)
    if not isinstance(model, Convolution):
        raise TypeError(f"{options.method} takes one PSF.")
    light = _on_grid(problem, model)
    data = options.engine.asarray(light)
    weight, weights = options.weight, None
    if options.method == "inverse":
        estimate = inverse(model, data, weight)
    else:
        tikhonov = options.method == "tikhonov"
        grid = light.shape
        penalty = laplacian_penalty(grid, problem.spacing) if tikhonov else wiener_penalty(grid)
        if isnan(weight):
            weights = _weights(problem, light, penalty)
            weight = weights.gcv
        estimate = penalized_inverse(model, data, penalty * np.float32(weight))
    return options.engine.to_numpy(estimate, problem.image.shape), weights


def _on_grid(problem: Problem, model: Convolution) -> Volume3:
    """Subtract the background, and lay the light on the model's grid."""
    light: Volume3 = (problem.image - problem.background).astype(np.float32)
    if problem.boundary in UNKNOWN_OUTSIDE:
        margin = margin_of(problem.psfs[0].shape, problem.boundary)
        light = faded_mirror(light, model.grid, margin)
    elif problem.boundary != "circular":
        light = extend(light, model.grid, problem.boundary)
    return light


def _weights(problem: Problem, light: Volume3, penalty: Float) -> AutomaticWeights:
    grid = light.shape
    spectrum = scipy.fft.rfftn(light, workers=threads())
    otf = scipy.fft.rfftn(centred_at_origin(problem.psfs[0], grid), workers=threads())
    return automatic_weights(spectrum, otf, penalty, grid, problem.image.shape)

"""The direct filters: one step, no iteration."""

from __future__ import annotations

from functools import partial
from math import isnan

import numpy as np
import numpy.typing as npt

from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.parts import Box
from napari_deconv.deconvolution.volume import Problem, less, make_model
from napari_deconv.deconvolution.weight import find_weights, lay, penalty_of
from napari_deconv.forward import Convolution, ForwardModel
from napari_deconv.solvers.linear import inverse, penalized_inverse
from napari_deconv.solvers.weights import AutomaticWeights

__all__ = ["filter_directly", "light_of"]

Float = npt.NDArray[np.float32]


def filter_directly(
    problem: Problem, options: Options, model: ForwardModel | None = None
) -> tuple[Float, AutomaticWeights | None]:
    """Filter a volume with Wiener's filter, Tikhonov's, or the inverse.

    Parameters
    ----------
    problem : Problem
        The volume.
    options : Options
        The method, and its weight or NaN for an automatic one.
    model : Convolution, optional
        The forward model of the volume, where it is there already.

    Returns
    -------
    image : ndarray of float32
        (z, y, x), of the image's shape.
    weights : AutomaticWeights or None
        What the rules for an automatic weight found, if there was one to find.
    """
    model = make_model(problem, options.engine) if model is None else model
    if not isinstance(model, Convolution):
        raise TypeError(f"{options.method} takes one PSF.")
    light = lay(light_of(problem), problem.psfs[0].shape, problem.boundary)
    data = options.engine.asarray(light)
    weight, weights = options.weight, None
    if options.method == "inverse":
        estimate = inverse(model, data, weight)
    else:
        if isnan(weight):
            weights = find_weights(partial(light_of, problem), problem.image.shape, options)
            weight = weights.gcv
        estimate = penalized_inverse(
            model, data, penalty_of(options, light.shape) * np.float32(weight)
        )
    return options.engine.to_numpy(estimate, problem.image.shape), weights


def light_of(problem: Problem, box: Box = (slice(None),) * 3) -> Float:
    """Take a part of the image, or all of it, without its background."""
    level = problem.background
    level = level[box] if level.size > 1 else level
    return less(problem.image[box], level)

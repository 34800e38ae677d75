"""What a model leaves unexplained of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import (
    as_volume,
    check_array,
    check_background,
    check_finite,
    check_image,
    check_number,
)
from napari_deconv._progress import Callback, Progress
from napari_deconv.deconvolution.job import check_mask
from napari_deconv.deconvolution.volume import Problem, Volume, extend, make_model
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.prepare import prepare_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.position import CHECK_EVERY, DataMonitor, Position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["Residual", "residual"]

Float = npt.NDArray[np.float32]

_MOST = 50  # iterations
_GAIN = 0.01  # of the divergence, in `CHECK_EVERY` iterations
_DARKEST = 0.01  # of the image's mean: what is outside can grow from there


@dataclass(frozen=True)
class Residual:
    """What a model leaves unexplained of an image.

    Attributes
    ----------
    image : ndarray of float32
        (image − model) / σ, σ the standard deviation of each voxel's noise.
    beyond : float
        Part of the voxels farther from 0 than 3 σ; 0.0027 of Gaussian noise.
    spread : float
        Root mean square; 1 of noise.
    correlation : float
        Of neighbours along x; 0 of noise, towards 1 where structure is left.
    """

    image: npt.NDArray[np.float32]
    beyond: float
    spread: float
    correlation: float


def residual(
    image: npt.ArrayLike,
    result: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    spacing: float | Sequence[float] | None = None,
    background: npt.ArrayLike = 0.0,
    gain: float = 1.0,
    offset: float = 0.0,
    mask: npt.ArrayLike | None = None,
    centre_psf: bool = True,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Residual:
    """Compare an image with the model of it, in standard deviations of its noise.

    (y − m) / √(gain·(m − offset)) with m = h ⊗ x + b: Pearson's residual of photon noise. The
    result is x inside the image. Light also comes from outside it, in widefield stacks a large part
    of all: there x is what makes the image most likely, found by Richardson–Lucy as deconvolution
    with padding finds it (Bertero & Boccacci, Astron. Astrophys. 437, 369, 2005). It can take over
    what a wrong PSF leaves unexplained near the borders, which then looks better than it is.

    Parameters
    ----------
    image : array_like
        y, as it was recorded: (y, x) or (z, y, x).
    result : array_like
        x, of the same shape, in the same grey values, without background.
    psf : Psf or array_like
        h; resampled to `spacing` if its voxel size is another one.
    spacing : float or sequence of float, optional
        Voxel size of the image in µm. Default: that of the PSF.
    background : array_like
        b, one number or one a voxel.
    gain, offset : float
        Grey value = gain × photons + offset (see `estimate_gain`).
    mask : array_like of bool, optional
        True where voxels count. The others may hold anything, and are 0 in the residual.
    centre_psf : bool
        Centre h, as `deconvolve` does; False for a result that was made without.
    engine : str or Engine
        Where it is computed.
    callback : callable, optional
        Called with a `Progress` after every iteration; what it raises ends the run. There may be
        fewer than planned.

    Returns
    -------
    Residual
        The image of it, and how much it is like noise.

    Raises
    ------
    DeconvError
        If shapes do not match, or a value cannot be used.
    DeviceError
        If the device is missing, too small, or fails.
    """
    recorded: npt.NDArray[Any] = check_array(image)
    allowed = check_mask(mask, recorded.shape)
    if allowed is not None:
        recorded = np.where(allowed, recorded, recorded.dtype.type(0))
    check_finite(recorded)
    estimate = check_image(result, "result")
    if recorded.shape != estimate.shape or recorded.ndim > 3:
        raise DeconvError(
            f"The image has shape {recorded.shape}, the result {estimate.shape}: expected a plane "
            "(y, x) or a volume (z, y, x), and its own result."
        )
    gain = check_number(gain, "gain", np.finfo(float).tiny)
    offset = check_number(offset, "offset")
    kernel, _ = prepare_psf(psf, recorded.ndim, spacing, centre=centre_psf)
    if kernel.ndim != recorded.ndim:
        raise DeconvError(
            f"The PSF has {kernel.ndim} axes, the image {recorded.ndim}: choose a PSF with as many."
        )
    dark = np.asarray(check_background(background, recorded), np.float32)
    dark = np.broadcast_to(dark, recorded.shape)
    problem = Problem(
        image=as_volume(np.maximum(recorded - np.float32(offset), 0)),  # as photons are distributed
        background=as_volume(dark - np.float32(offset)),
        mask=None if allowed is None else as_volume(allowed),
        psfs=(as_volume(kernel),),
        depths=(0.0,),
        spacing=(1.0, 1.0, 1.0),
        boundary="half_padded",
    )
    light = _light(problem, as_volume(estimate.astype(np.float32)), get_engine(engine), callback)
    model = light.reshape(recorded.shape) + dark
    # A model without any light expects no noise: a hundredth of a photon keeps it finite.
    variance = gain * np.maximum(model - offset, gain / 100)
    values = ((recorded - model) / np.sqrt(variance)).astype(np.float32)
    counts = np.broadcast_to(True, values.shape) if allowed is None else allowed
    values[~counts] = 0
    spread = float(np.sqrt(np.mean(np.square(values, dtype=np.float64), where=counts)))
    beyond = float(np.mean(np.abs(values) > 3, where=counts))
    return Residual(values, beyond, spread, _neighbour_correlation(values, counts))


def _light(problem: Problem, estimate: Float, engine: Engine, callback: Callback | None) -> Float:
    """Hx, x the estimate inside the image and what explains the image best outside.

    What is inside becomes a part of the background: a voxel that starts at 0 stays 0.
    """
    model = make_model(problem, engine)
    light = engine.full(model.shape, 0.0)
    model.apply(engine.asarray(estimate, model.grid), light)
    inside: Float = engine.to_numpy(light)
    volume = Volume(replace(problem, background=problem.background + inside), model)
    around = extend(estimate, model.grid, "reflect")
    np.maximum(around, _DARKEST * problem.image.mean(), out=around)
    around[tuple(slice(size) for size in estimate.shape)] = 0
    position = Position(engine.asarray(around / np.float32(volume.scale)))
    steps = richardson_lucy(
        model, volume.observation, position, _MOST, DataMonitor(model, volume.observation),
        acceleration=HeavyBall(engine), regularization=Unregularized(),
    )  # fmt: skip
    before = inf
    for _ in steps:
        if callback is not None:
            callback(Progress(position.iteration, _MOST))
        if position.iteration % CHECK_EVERY == 1:  # this step has measured
            if before - position.divergence < _GAIN * position.divergence:
                break
            before = position.divergence
    model.apply(position.estimate, light)
    outside: Float = engine.to_numpy(light)
    return inside + outside * np.float32(volume.scale)


def _neighbour_correlation(values: npt.NDArray[np.float32], counts: npt.NDArray[np.bool_]) -> float:
    centred = values - values.mean(dtype=np.float64, where=counts)
    power = np.mean(np.square(centred), where=counts)
    both = counts[..., 1:] & counts[..., :-1]
    if power == 0 or not both.any():
        return 0.0
    return float(np.mean(centred[..., 1:] * centred[..., :-1], where=both) / power)

"""Deconvolve, iterate, convolve: what users call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume, check_choice, check_image
from napari_deconv._progress import Callback
from napari_deconv.deconvolution.history import as_columns
from napari_deconv.deconvolution.job import prepare
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import Run, State
from napari_deconv.deconvolution.volume import extend, make_model
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.prepare import prepare_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.recipe import describe

__all__ = ["convolve", "deconvolve", "iterate"]

Float = npt.NDArray[np.float32]


def deconvolve(
    image: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    method: Literal["richardson_lucy", "wiener", "inverse"] = "richardson_lucy",
    iterations: int = 40,
    spacing: float | Sequence[float] | None = None,
    background: Literal["auto"] | float | npt.ArrayLike = "auto",
    boundary: Literal["padded", "circular", "reflect", "zero"] = "padded",
    mask: npt.ArrayLike | None = None,
    acceleration: Literal["heavy_ball", "biggs"] | None = "heavy_ball",
    levels: int | Literal["auto"] = 1,
    regularization: Literal["tv"] | None = None,
    regularization_weight: float | None = None,
    initial: npt.ArrayLike | Deconvolution | None = None,
    centre_psf: bool = True,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Deconvolution:
    """Estimate the object that a microscope has blurred.

    Parameters
    ----------
    image : array_like
        Any integer or real dtype. Its last axes are space, as many as the PSF has: (z, y, x) or
        (y, x); axes in front of them (channels, times) are looped over. It is not modified.
    psf : Psf or array_like
        (z, y, x) or (y, x), the point at voxel n // 2; it may be larger than the image. It is made
        float32, not negative and of sum 1. A plain array is taken in the image's voxels.
    method : {"richardson_lucy", "wiener", "inverse"}
        Richardson–Lucy, or one of two direct filters (see `napari_deconv.solvers`).
    iterations : int
        Steps of Richardson–Lucy.
    spacing : float or sequence of float, optional
        The image's voxel size in µm for the space axes. A `Psf` of another one is resampled.
        Without it the PSF's voxels are taken to be the image's.
    background : "auto", float or array_like
        Light that comes from nowhere in the object, in the image's units; part of the model.
        ``"auto"`` takes the 1st percentile of the image smoothed by 2 voxels.
    boundary : {"padded", "circular", "reflect", "zero"}
        What lies outside the image: unknown light that is estimated as well, the other end of the
        image, its mirror image, or nothing but background. Direct filters cannot estimate what is
        outside and mirror for ``"padded"`` too.
    mask : array_like of bool, optional
        False leaves voxels out: saturated, dead or NaN ones. Richardson–Lucy only.
    acceleration : {"heavy_ball", "biggs"} or None
        40 steps with ``"heavy_ball"`` reach what about 200 plain ones do.
    levels : int or "auto"
        Coarse-to-fine start: up to ``levels − 1`` times the image is binned by 2 along each axis
        that the PSF is sampled finely enough along, and the coarsest one is solved first.
        `iterations` counts the fine ones. ``"auto"`` takes up to 3.
    regularization : {"tv"} or None
        ``"tv"`` smooths where there are no edges (total variation).
    regularization_weight : float, optional
        λ of ``"tv"`` (0.002), K of ``"wiener"`` (0.01), ε of ``"inverse"`` (0.01).
    initial : array_like or Deconvolution, optional
        An estimate to start from, of the image's shape; or a result to go on from, as if never
        interrupted: 30 iterations and 30 more are the same 60. A result of another image, PSF or
        setting is an estimate like any other.
    centre_psf : bool
        Bring a PSF whose peak is off centre there, so that the object does not move.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"`` or ``"opencl:<device name>"``.
    callback : callable, optional
        Called with a `State` after every step; what it raises ends the run.

    Returns
    -------
    Deconvolution
        The estimate and how it came about.

    Raises
    ------
    DeconvError
        For input that cannot be deconvolved; the message says what to do.
    DeviceError
        If the device is missing, too small, or fails.

    Warns
    -----
    DeconvWarning
        If the PSF was resampled, centred or clipped, negative voxels were taken as 0, or the image
        is constant.

    Notes
    -----
    Richardson–Lucy maximises the likelihood of photon counts, y ~ Poisson(Hx + b). The sum of
    Hx + b over the image tends to the sum of the image.
    """
    job = prepare(
        image, psf, method=method, iterations=iterations, spacing=spacing, background=background,
        boundary=boundary, mask=mask, acceleration=acceleration, levels=levels,
        regularization=regularization, regularization_weight=regularization_weight,
        initial=initial, centre_psf=centre_psf, engine=engine,
    )  # fmt: skip
    result = np.empty(job.image.shape, np.float32)
    runs: list[Run] = []
    done = 0
    for number, frame in enumerate(job.frames):
        run = job.run(frame)
        for state in run.states():
            done, planned = state.iteration, state.iterations
            if callback is not None:
                done_in_all = number * planned + done
                in_all = planned * len(job.frames)
                callback(replace(state, iteration=done_in_all, iterations=in_all))
        result[frame] = run.image
        runs.append(run)
    iterative = method == "richardson_lucy"
    return Deconvolution(
        result,
        done,
        f"{done} iterations done" if iterative else f"{method} needs one step",
        as_columns([run.history for run in runs], job.leading),
        _backgrounds(runs, job.leading),
        job.psf,
        describe("deconvolve", job.parameters, job.options.engine),
        [run.checkpoint for run in runs],
    )


def iterate(image: npt.ArrayLike, psf: Psf | npt.ArrayLike, **options: Any) -> Iterator[State]:
    """Deconvolve one volume, one iteration at a time.

    Parameters
    ----------
    image : array_like
        (z, y, x) or (y, x), as many axes as the PSF.
    psf : Psf or array_like
        As for `deconvolve`.
    **options
        The other parameters of `deconvolve`, without `callback`, with the same defaults.

    Yields
    ------
    State
        After each iteration: ``.iteration``, ``.iterations``, ``.image``, ``.divergence``.

    Raises
    ------
    DeconvError
        As `deconvolve`, and if the image has more axes than the PSF.
    """
    unknown = options.keys() - (deconvolve.__kwdefaults__ or {}).keys() - {"callback"}
    if unknown:
        raise TypeError(f"iterate() does not know {', '.join(sorted(unknown))}.")
    defaults = {k: v for k, v in (deconvolve.__kwdefaults__ or {}).items() if k != "callback"}
    job = prepare(image, psf, **(defaults | options))
    if job.leading:
        raise DeconvError(
            f"The image has shape {job.image.shape}, the PSF {np.shape(psf)}: iterate takes one "
            "volume. Loop over the axes in front, or use deconvolve."
        )
    yield from job.run(()).states()


def convolve(
    image: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    boundary: Literal["reflect", "circular", "zero"] = "reflect",
    engine: str | Engine = "auto",
) -> Float:
    """Blur an image with a PSF.

    Parameters
    ----------
    image : array_like
        (z, y, x) or (y, x), as many axes as the PSF; axes in front are looped over.
    psf : Psf or array_like
        The point at voxel n // 2; it is made of sum 1. Taken in the image's voxels.
    boundary : {"reflect", "circular", "zero"}
        What lies outside the image.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"`` or ``"opencl:<device name>"``.

    Returns
    -------
    ndarray of float32
        Of the image's shape; a point of the image becomes the PSF around its voxel.

    Raises
    ------
    DeconvError
        For input that cannot be convolved.
    """
    check_choice(boundary, ("reflect", "circular", "zero"), "boundary")
    array = check_image(image)
    device = get_engine(engine)
    data, _ = prepare_psf(psf, array.ndim, None, centre=False)
    shape = as_volume(array[(0,) * (array.ndim - data.ndim)]).shape
    model = make_model(shape, as_volume(data), boundary, device)
    light = device.full(model.grid, 0.0)
    result = np.empty(array.shape, np.float32)
    for frame in np.ndindex(array.shape[: -data.ndim]):
        volume = as_volume(array[frame])
        extended = volume if boundary == "circular" else extend(volume, model.grid, boundary)
        model.apply(device.asarray(extended), light)
        result[frame] = device.to_numpy(light, shape).reshape(array.shape[-data.ndim :])
    return result


def _backgrounds(runs: list[Run], leading: tuple[int, ...]) -> float | npt.NDArray[Any]:
    stack = np.array([run.background for run in runs])
    if not leading and stack.size == 1:
        return float(stack.flat[0])
    return stack.reshape(*leading, *stack.shape[1:])

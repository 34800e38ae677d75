"""Deconvolve, iterate, convolve: what users call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume, check_choice, check_image
from napari_deconv._progress import Callback, Progress
from napari_deconv.deconvolution.collect import collect
from napari_deconv.deconvolution.job import Job, prepare
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import Run, State
from napari_deconv.deconvolution.volume import Problem, extend, make_model
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.prepare import prepare_psf
from napari_deconv.psf.psf import Psf

__all__ = ["convolve", "deconvolve", "iterate", "memory_needed", "with_defaults"]

Float = npt.NDArray[np.float32]


def deconvolve(
    image: npt.ArrayLike,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    method: str = "richardson_lucy",
    iterations: int = 40,
    spacing: float | Sequence[float] | None = None,
    background: Literal["auto"] | float | npt.ArrayLike = "auto",
    boundary: Literal["padded", "half_padded", "circular", "reflect", "zero"] = "padded",
    mask: npt.ArrayLike | None = None,
    acceleration: Literal["heavy_ball", "biggs", "wiener_butterworth"] | None = "heavy_ball",
    levels: int | Literal["auto"] = 1,
    regularization: Literal["tv", "tikhonov", "roughness"] | None = None,
    regularization_weight: float | Literal["auto"] | None = None,
    damping: float = 0.0,
    read_noise: float | None = None,
    stop: Literal["discrepancy", "quality", "consensus"] | None = None,
    gain: float | None = None,
    offset: float | None = None,
    keep_every: int | None = None,
    depths: Sequence[float] | None = None,
    symmetric_psf: bool = False,
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
    psf : Psf, array_like or sequence of Psf
        (z, y, x) or (y, x), the point at voxel n // 2; it may be larger than the image. It is made
        float32, not negative and of sum 1, and cropped to the box that holds 99.9 % of it. A plain
        array is taken in the image's voxels. With `depths` one for each.
    method : str
        ``"richardson_lucy"``, ``"landweber"``, ``"nnls"``, ``"ictm"``, ``"fista"``,
        ``"gradient_consensus"`` and ``"blind"`` iterate; ``"wiener"``, ``"tikhonov"`` and
        ``"inverse"`` are direct filters. Each has a page in `napari_deconv.solvers`.
    iterations : int
        Steps of the iterative methods; with `stop`, at most.
    spacing : float or sequence of float, optional
        The image's voxel size in µm for the space axes. A `Psf` of another one is resampled.
        Without it the PSF's voxels are taken to be the image's.
    background : "auto", float or array_like
        Light that comes from nowhere in the object, in the image's units; part of the model.
        ``"auto"`` takes the 1st percentile of the image smoothed by 2 voxels.
    boundary : {"padded", "half_padded", "circular", "reflect", "zero"}
        What lies outside the image: unknown light that is estimated as well, the other end of the
        image, its mirror image, or nothing but background. ``"half_padded"`` estimates light from
        outside too, in margins half as wide that opposite borders share: where the PSF is as large
        as the image it takes less than half the memory and time. Direct filters cannot estimate
        what is outside: if padded they continue the image by its mirror image, fading to 0.
    mask : array_like of bool, optional
        False leaves voxels out: saturated, dead or NaN ones. Iterative methods only.
    acceleration : {"heavy_ball", "biggs", "wiener_butterworth"} or None
        Of Richardson–Lucy: 40 steps with ``"heavy_ball"`` reach what about 200 plain ones do.
    levels : int or "auto"
        Coarse-to-fine start: up to ``levels − 1`` times the image is binned by 2 along each axis
        that the PSF is sampled finely enough along, and the coarsest one is solved first.
        `iterations` counts the fine ones. ``"auto"`` takes up to 3. Blind deconvolution and direct
        filters have no coarse levels.
    regularization : {"tv", "tikhonov", "roughness"} or None
        Of Richardson–Lucy: ``"tv"`` (total variation) smooths where there are no edges,
        ``"tikhonov"`` everywhere, ``"roughness"`` (Good's) in proportion to the light.
    regularization_weight : float or "auto", optional
        λ of the regularisation (0.002 for ``"tv"``, see `napari_deconv.solvers.regularization`), of
        ``"ictm"`` (0.0005) and ``"fista"`` (0.002), K of ``"wiener"`` (0.01), ε of ``"inverse"``
        (0.01), λ of ``"tikhonov"`` (automatic). ``"auto"`` is for ``"tv"``, ``"wiener"`` and
        ``"tikhonov"``.
    damping : float
        Of Richardson–Lucy: differences between image and model of less than so many standard
        deviations of the noise are hardly fitted.
    read_noise : float, optional
        Of Richardson–Lucy: standard deviation of the camera's noise in the image's units, which
        weighs besides that of the photons where light is dim.
    stop : {"discrepancy", "quality", "consensus"} or None
        When to stop before `iterations`: where the model differs from the image as noise does,
        where the fit hardly improves any more, or, best, where photons kept aside are met no
        better.
    gain : float, optional
        Grey values a photon. It is estimated from the image's noise where it is needed; if only
        `stop` needs it and it cannot be told, all iterations are done, with a warning.
    offset : float, optional
        Grey value without light, estimated with the gain; 0 where the gain is given.
    keep_every : int, optional
        Keep the estimate after every so many iterations, in `Deconvolution.intermediate`.
    depths : sequence of float, optional
        Where each PSF holds, in µm from the image's first plane, increasing: between them the PSF
        changes gradually.
    symmetric_psf : bool
        Of blind deconvolution: make the PSF radially symmetric in x and y.
    initial : array_like or Deconvolution, optional
        An estimate to start from, of the image's shape; or a result to go on from, as if never
        interrupted: 30 iterations and 30 more are the same 60. A result of another image, PSF or
        setting is an estimate like any other.
    centre_psf : bool
        Bring a PSF whose peak is off centre there, so that the object does not move.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"`` or ``"opencl:<device name>"``.
    callback : callable, optional
        Called with a `State` after every step. What it raises ends the run, but ``StopIteration``
        keeps what has been reached: the volume at hand ends after this step, or, on a coarse
        level, after the first one on the image's own voxels.

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
        damping=damping, read_noise=read_noise, stop=stop, gain=gain, offset=offset,
        keep_every=keep_every, depths=depths, symmetric_psf=symmetric_psf, initial=initial,
        centre_psf=centre_psf, engine=engine,
    )  # fmt: skip
    runs: list[Run] = []
    for number, frame in enumerate(job.frames):
        run = job.run(frame)
        for state in run.states():
            if callback is not None:
                done_in_all = number * state.iterations + state.iteration
                in_all = state.iterations * len(job.frames)
                try:
                    callback(replace(state, iteration=done_in_all, iterations=in_all))
                except StopIteration:
                    run.enough = True
        runs.append(run)
    return collect(job, runs)


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
    job = _job(image, psf, options)
    if job.leading:
        raise DeconvError(
            f"The image has shape {job.image.shape}, the PSF {np.shape(psf)}: iterate takes one "
            "volume. Loop over the axes in front, or use deconvolve."
        )
    yield from job.run(()).states()


def _job(image: npt.ArrayLike, psf: Psf | npt.ArrayLike, options: dict[str, Any]) -> Job:
    """Prepare with the defaults of `deconvolve`."""
    return prepare(image, psf, **with_defaults(options))


def with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Add to options of `deconvolve` the defaults of its others, but for `callback`.

    Raises
    ------
    TypeError
        If there is no such option.
    """
    defaults = {k: v for k, v in (deconvolve.__kwdefaults__ or {}).items() if k != "callback"}
    unknown = options.keys() - defaults.keys()
    if unknown:
        raise TypeError(f"There is no option {', '.join(sorted(unknown))}.")
    return defaults | dict(options)


def memory_needed(image: npt.ArrayLike, psf: Psf | npt.ArrayLike, **options: Any) -> int:
    """Tell how many bytes a deconvolution takes on its device, before it is run.

    Parameters
    ----------
    image, psf
        As for `deconvolve`.
    **options
        The other parameters of `deconvolve`, without `callback`, with the same defaults.

    Returns
    -------
    int
        Bytes at the peak, for one volume of a series: about seven arrays of the padded grid with
        plain or heavy-ball Richardson–Lucy. The image and the result on the host come on top.

    Raises
    ------
    DeconvError
        As `deconvolve`.
    """
    return _job(image, psf, options).memory


def convolve(
    image: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    spacing: float | Sequence[float] | None = None,
    boundary: Literal["reflect", "circular", "zero"] = "reflect",
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Float:
    """Blur an image with a PSF.

    Parameters
    ----------
    image : array_like
        (z, y, x) or (y, x), as many axes as the PSF; axes in front are looped over.
    psf : Psf or array_like
        The point at voxel n // 2; it is made of sum 1. A plain array is taken in the image's
        voxels.
    spacing : float or sequence of float, optional
        The image's voxel size in µm for the space axes. A `Psf` of another one is resampled.
        Without it the PSF's voxels are taken to be the image's.
    boundary : {"reflect", "circular", "zero"}
        What lies outside the image.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"`` or ``"opencl:<device name>"``.
    callback : callable, optional
        Called with a `Progress` after every volume; what it raises ends the run.

    Returns
    -------
    ndarray of float32
        Of the image's shape; a point of the image becomes the PSF around its voxel.

    Raises
    ------
    DeconvError
        For input that cannot be convolved.
    DeviceError
        If the device is missing, too small, or fails.

    Warns
    -----
    DeconvWarning
        If the PSF was resampled, or negative values of it were taken as 0.
    """
    check_choice(boundary, ("reflect", "circular", "zero"), "boundary")
    array = check_image(image)
    device = get_engine(engine)
    data, _ = prepare_psf(psf, array.ndim, spacing, centre=False)
    first = as_volume(array[(0,) * (array.ndim - data.ndim)])
    none = np.zeros((1, 1, 1))
    problem = Problem(first, none, None, (as_volume(data),), (0.0,), (1.0, 1.0, 1.0), boundary)
    model = make_model(problem, device)
    light = device.full(model.grid, 0.0)
    result = np.empty(array.shape, np.float32)
    frames = list(np.ndindex(array.shape[: -data.ndim]))
    for done, frame in enumerate(frames, 1):
        volume = as_volume(array[frame])
        extended = volume if boundary == "circular" else extend(volume, model.grid, boundary)
        model.apply(device.asarray(extended), light)
        result[frame] = device.to_numpy(light, first.shape).reshape(array.shape[-data.ndim :])
        if callback is not None:
            callback(Progress(done, len(frames)))
    return result

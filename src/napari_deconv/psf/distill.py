"""From an image of beads to the PSF that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from napari_deconv._checks import (
    as_volume,
    check_background,
    check_choice,
    check_image,
    check_number,
    check_spacing,
    check_whole,
)
from napari_deconv._noise import noise_level
from napari_deconv._progress import Callback
from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.beads import Beads, Rejection, detect_beads, threshold_beads
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.provenance import describe
from napari_deconv.psf.joint import Scene, fit_psf
from napari_deconv.psf.plausible import check_alike, check_explained, check_widths
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.reverse import Reversal, Steps
from napari_deconv.psf.symmetry import symmetrise

__all__ = ["DISTILLING", "distill_psf"]

Float = npt.NDArray[np.float32]

DISTILLING = ("reverse", "average", "centroids")

# The default box reaches this many FWHM from the centre.
_REACH = 4.0

_ITERATIONS = {"reverse": 50, "centroids": 200, "average": 1}

# Noise comes into the PSF the sooner, the dimmer the beads: reverse deconvolution does so many
# steps for each time that a bead is higher than the noise, and at least the fewest.
_STEPS_PER_NOISE, _FEWEST_STEPS = 1.15, 20

# The volume under a Gaussian is its height times, for each axis, its FWHM times this.
_GAUSSIAN_AREA = float(np.sqrt(np.pi / (4 * np.log(2))))

# Voxels (z, y, x) taken as FWHM by the classic recipe, which does not measure any.
_CENTROID_WIDTH = (4.0, 4.0, 4.0)

# The halo of the first estimate of the PSF, in parts of its peak.
_HALO = 0.05

# Beads that do not count keep their light to themselves within this many FWHM.
_SHADOW = 2.0


def distill_psf(
    image: npt.ArrayLike,
    beads: Beads | None = None,
    *,
    spacing: float | Sequence[float],
    shape: Sequence[int] | None = None,
    iterations: int | None = None,
    bead_diameter: float = 0.0,
    background: float | npt.ArrayLike | None = None,
    method: Literal["reverse", "average", "centroids"] = "reverse",
    symmetric: bool = False,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Psf:
    """Find the PSF from an image of beads.

    Parameters
    ----------
    image : array_like
        Beads, (z, y, x) or (y, x), any integer or real dtype. It is not modified.
    beads : Beads, optional
        What `detect_beads` found, in voxels of this image. The accepted ones are used, and by
        ``"reverse"`` those that only have a close neighbour. Default: detected here.
    spacing : float or sequence of float
        Voxel size in µm.
    shape : sequence of int, optional
        Voxels of the PSF; odd sizes have their centre in the middle. Default: 4 FWHM to each side,
        at most the size of the image.
    iterations : int, optional
        Richardson–Lucy steps: for ``"reverse"`` (accelerated) 50, and down to 20 where the beads
        are dim, as noise comes in sooner there; for ``"centroids"`` 200.
    bead_diameter : float
        Diameter of the beads in µm; its blur is taken out by ``"reverse"``.
    background : float or array_like, optional
        Light that does not come from beads. Default: ``"reverse"`` fits it with the PSF, as a
        polynomial of degree 2 in the coordinates, ``"average"`` takes the 1st percentile of the
        smoothed image, ``"centroids"`` subtracts 1.25 · mean.
    method : {"reverse", "average", "centroids"}
        ``"reverse"``: image = beads ⊗ PSF + background is solved for the PSF, with spheres of the
        beads' size at their sub-voxel positions, whose flux is fitted with it. Beads that
        the PSF is not taken from are masked, but the light around them is in the model.
        ``"average"``: the beads, aligned by Fourier shift, are averaged; they must be isolated, and
        their size stays in the PSF.
        ``"centroids"``: the classic recipe. Background 1.25 · mean, Otsu threshold, one bright
        voxel at each centroid, plain Richardson–Lucy. Whole voxels shift and broaden the PSF.
    symmetric : bool
        Make each plane radially symmetric, if x and y differ by less than 10 %.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"`` or ``"opencl:<device name>"``.
    callback : callable, optional
        Called with a `State` after every Richardson–Lucy step, so not while beads are detected nor
        by ``"average"``; what it raises ends the run.

    Returns
    -------
    Psf
        Sum 1, centre voxel n // 2; metadata say how it came about and how many beads it is from.

    Raises
    ------
    DeconvError
        For an unusable image, no accepted bead, or impossible parameters.

    Warns
    -----
    DeconvWarning
        If most spots are not like the accepted beads, if the image shows more than beads, if the
        beads' widths make one doubt the voxel size or the sampling, if the PSF comes from a single
        bead, or if it is too asymmetric to be made symmetric.
    """
    check_choice(method, DISTILLING, "method")
    array, voxel = _check_bead_image(image, spacing)
    check_number(bead_diameter, "bead_diameter", 0.0)
    steps = check_whole(_ITERATIONS[method] if iterations is None else iterations, "iterations")
    if background is not None:
        background = np.asarray(check_background(background, array), float)
    if beads is not None:
        _check_beads(beads, array, voxel)
    device = get_engine(engine)
    data: npt.NDArray[Any]
    found: dict[str, Any]
    if method == "centroids":
        data, count = _centroids(array, beads, shape, steps, background, device, callback)
        found = {"beads": {"used": count}}
    else:
        if beads is None:
            rules = Rejection(neighbour=method == "average")
            beads = detect_beads(
                array, spacing=voxel, bead_diameter=bead_diameter, reject=rules, engine=device
            )
        used = _usable(beads, method)
        found = {"beads": {"used": int(used.sum()), **beads.counts}}
        width = _width(beads, used)
        check_alike(beads.counts)
        check_widths(width, voxel, int(used.sum()))
        box = _box(shape, array.shape, width)
        offset = estimate_background(array, engine=device) if background is None else background
        base = np.asarray(offset, float)
        if method == "average":
            data = _average(array - base, beads.positions[used], box)
        else:
            diameter = tuple(bead_diameter / step for step in voxel)
            scene = _scene(array, beads, used, diameter, width, base, background is not None)
            if iterations is None:
                steps = min(steps, _steps_before_noise(array, beads.flux[used], width))
            data, found["background"] = _reverse(array, scene, box, steps, device, callback)
    parameters = {
        "method": method, "spacing": voxel, "shape": data.shape, "iterations": steps,
        "bead_diameter": bead_diameter, "background": background, "symmetric": symmetric,
    }  # fmt: skip
    psf = Psf(data, voxel, describe("distill_psf", parameters, device) | found)
    return symmetrise(psf) if symmetric else psf


def _check_bead_image(
    image: npt.ArrayLike, spacing: float | Sequence[float]
) -> tuple[npt.NDArray[Any], tuple[float, ...]]:
    """Check that it is one stack or plane with a voxel size, and give both."""
    array = check_image(image, "bead image")
    if array.ndim > 3:
        raise DeconvError(
            f"The bead image has shape {array.shape}: expected (z, y, x) or (y, x). Choose one "
            "channel and one time point."
        )
    voxel = check_spacing(spacing, array.ndim)
    if voxel is None:
        raise DeconvError("Distilling needs the voxel size: pass spacing=(z, y, x) in µm.")
    return array, voxel


def _check_beads(beads: Beads, image: npt.NDArray[Any], spacing: tuple[float, ...]) -> None:
    """Raise `DeconvError` unless the beads were detected in such an image."""
    if not isinstance(beads, Beads):
        raise DeconvError(f"beads is a {type(beads).__name__}: expected what detect_beads returns.")
    if beads.positions.shape[1] != image.ndim:
        raise DeconvError(
            f"The beads have {beads.positions.shape[1]} coordinates, the image {image.ndim} axes: "
            "detect them in this image."
        )
    if beads.spacing is not None and not np.allclose(beads.spacing, spacing, rtol=1e-3, atol=0):
        raise DeconvError(
            f"The beads were detected with voxels of {beads.spacing} µm, spacing={spacing}: detect "
            "them in this image."
        )
    kept = beads.positions[beads.accepted]
    if not np.all((kept > -0.5) & (kept < np.array(image.shape) - 0.5)):
        raise DeconvError("There are accepted beads outside of the image: detect them in it.")


def _usable(beads: Beads, method: str) -> npt.NDArray[np.bool_]:
    """Say which beads the PSF can be taken from."""
    # What neighbours add to each other is in the model of reverse deconvolution.
    usable = beads.accepted | (beads.status == "neighbour" if method == "reverse" else False)
    usable &= np.all(beads.fwhm > 0, axis=1)
    if not usable.any():
        raise DeconvError(
            f"None of {len(beads)} beads is accepted ({beads.summary}): nothing to distil a PSF "
            "from. Switch off the rule that rejects them, or take an image of more beads."
        )
    return usable


def _box(
    shape: Sequence[int] | None, image: tuple[int, ...], fwhm: npt.NDArray[np.float64]
) -> tuple[int, ...]:
    """Check a PSF's shape, or make an odd one that reaches `_REACH` FWHM (in voxels)."""
    if shape is None:
        widest = [n - 1 + n % 2 for n in image]
        wanted = [2 * int(np.ceil(_REACH * width)) + 1 for width in fwhm]
        return tuple(min(pair) for pair in zip(wanted, widest, strict=True))
    sizes = np.atleast_1d(np.asarray(shape))
    if sizes.shape != (len(image),) or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise DeconvError(
            f"shape={shape!r} is not a PSF's: expected {len(image)} whole numbers above 0."
        )
    return tuple(int(n) for n in sizes)


def _width(beads: Beads, used: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Median FWHM of beads in voxels."""
    widths: npt.NDArray[np.float64] = np.median(beads.fwhm[used], axis=0)
    return widths if beads.spacing is None else widths / beads.spacing


def _steps_before_noise(
    image: npt.NDArray[Any], flux: npt.NDArray[np.float64], width: npt.NDArray[np.float64]
) -> int:
    """Say after how many steps noise would come into the PSF of such beads."""
    # As if all their light were in a Gaussian peak.
    height = float(np.median(flux)) / float(np.prod(_GAUSSIAN_AREA * width))
    noise = noise_level(image)
    if noise == 0:
        return _ITERATIONS["reverse"]
    return max(round(_STEPS_PER_NOISE * height / noise), _FEWEST_STEPS)


def _bell(shape: tuple[int, ...], width: npt.NDArray[np.float64]) -> Float:
    """Make a Gaussian of FWHM `width` (voxels) in a halo that falls off with distance², sum 1."""
    grid = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    squares = sum((x / w) ** 2 for x, w in zip(grid, width, strict=True))
    bell = np.exp(-4 * np.log(2) * squares) + _HALO / (1 + squares)
    return np.asarray(bell / bell.sum(), np.float32)


def _unshadowed(
    shape: tuple[int, ...], positions: npt.NDArray[np.float64], reach: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Find the voxels that are not near any of the positions."""
    clear = np.ones(shape, bool)
    for position in positions:
        low = np.maximum(np.floor(position - reach), 0).astype(int)
        high = np.ceil(position + reach).astype(int) + 1
        clear[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
    return clear


def _average(
    image: npt.NDArray[np.float64], positions: npt.NDArray[np.float64], box: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Average beads, each shifted by Fourier phases to the centre voxel."""
    margin = 4
    half = [n // 2 + margin for n in box]
    padded = np.pad(image, [(h, h) for h in half], mode="reflect")
    total = np.zeros(box)
    for position in positions:
        nearest = np.rint(position).astype(int)
        around = tuple(slice(c, c + 2 * h + 1) for c, h in zip(nearest, half, strict=True))
        spectrum = np.fft.fftn(padded[around])
        shifted = np.fft.ifftn(scipy.ndimage.fourier_shift(spectrum, nearest - position)).real
        total += shifted[tuple(slice(margin, margin + n) for n in box)]
    # Noise around a background of 0 averages to 0; what is left below it is no light.
    return np.maximum(total, 0)


def _scene(
    image: npt.NDArray[Any],
    beads: Beads,
    used: npt.NDArray[np.bool_],
    diameter: tuple[float, ...],
    width: npt.NDArray[np.float64],
    background: npt.NDArray[np.float64],
    known: bool,
) -> Scene:
    """Put together what is seen besides the PSF; lengths in voxels."""
    clear = _unshadowed(image.shape, beads.positions[~used], _SHADOW * width)
    flux, base = np.maximum(beads.flux, 0), background.astype(np.float32)
    return Scene(beads.positions, flux, used, clear, diameter, width, base, known)


def _reverse(
    image: npt.NDArray[Any],
    scene: Scene,
    box: tuple[int, ...],
    iterations: int,
    engine: Engine,
    callback: Callback | None,
) -> tuple[Float, float]:
    """Solve the image for the PSF and, unless it is known, the background, of which the mean."""
    start = _bell(box, scene.width)
    data, scene, light = fit_psf(image, scene, start, iterations, engine, callback)
    if iterations >= _FEWEST_STEPS:
        check_explained(image, light + scene.background, scene.mask)
    return data, float(scene.background.mean())


def _centroids(
    image: npt.NDArray[Any],
    beads: Beads | None,
    shape: Sequence[int] | None,
    iterations: int,
    background: float | npt.ArrayLike | None,
    engine: Engine,
    callback: Callback | None,
) -> tuple[Float, int]:
    """Follow the classic recipe: 1.25 · mean, Otsu, one voxel per centroid, plain iterations."""
    if background is None:
        light = subtract_background(image, "mean", engine=engine)
    else:
        light = np.maximum(image - np.asarray(background, np.float32), 0.1)
    if beads is None:
        labels = threshold_beads(light, "otsu", engine=engine)
        found = scipy.ndimage.center_of_mass(labels > 0, labels, np.arange(labels.max()) + 1)
        positions = np.array(found).reshape(-1, image.ndim)
    else:
        positions = beads.positions[beads.accepted]
    if not len(positions):
        raise DeconvError("No bead is brighter than the threshold: is this an image of beads?")
    points = np.zeros(image.shape, np.float32)
    points[tuple(np.rint(positions).astype(int).T)] = 1
    box = _box(shape, image.shape, np.array(_CENTROID_WIDTH[-image.ndim :]))
    start, dark = as_volume(np.ones(box, np.float32)), np.zeros((1, 1, 1), np.float32)
    reversal = Reversal(as_volume(light), None, start.shape, engine)
    steps = Steps(iterations, 0, iterations)
    solved = reversal.solve(as_volume(points), dark, start, steps, None, callback)
    return solved.psf.reshape(box), len(positions)

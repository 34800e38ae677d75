"""The PSF of many beads, together with how bright they are, and the background."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv._progress import Callback
from napari_deconv.beads.fitting import SmoothBackground, least_light, refine_flux
from napari_deconv.beads.measure import BOX
from napari_deconv.beads.rendering import Template
from napari_deconv.engines import Engine
from napari_deconv.psf.objects import draw_beads, make_beads, spline_values
from napari_deconv.psf.reverse import Reversal, Steps

__all__ = ["Scene", "fit_psf"]

Doubles = npt.NDArray[np.float64]
Float = npt.NDArray[np.float32]

# Richardson–Lucy steps before beads and background follow the PSF. More at once let acceleration
# run ahead of them, and noise into the PSF's dim parts.
_TOGETHER = 5


@dataclass(frozen=True, eq=False)
class Scene:
    """What is seen besides the PSF; lengths in voxels, light in the image's grey values.

    Attributes
    ----------
    positions : ndarray (n, 3) or (n, 2)
        Of all beads: the light of those that the PSF is not taken from has to come from somewhere.
    flux : ndarray (n,)
        Of all beads.
    used : ndarray of bool (n,)
        Beads that the PSF is taken from.
    mask : ndarray of bool
        Of the image's shape; False where other beads are.
    diameter : tuple of float
        Of the beads along each axis.
    width : ndarray
        FWHM of the beads.
    background : ndarray of float32
        Of the image's shape, or one number.
    known : bool
        Whether the background is given, or to be fitted.
    """

    positions: Doubles
    flux: Doubles
    used: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.bool_]
    diameter: tuple[float, ...]
    width: Doubles
    background: Float
    known: bool


def fit_psf(
    image: npt.NDArray[np.generic],
    scene: Scene,
    start: Float,
    iterations: int,
    engine: Engine,
    callback: Callback | None,
) -> tuple[Float, Scene, Float]:
    """Find the PSF, the beads' flux, and the background that explain an image.

    All maximise one likelihood, that of photon noise, in turns: five accelerated Richardson–Lucy
    steps for the PSF's spline coefficients, then a scoring step for the background and for each
    bead's flux. (To fit the positions as well was seen to change nothing.)

    Parameters
    ----------
    image : ndarray (z, y, x) or (y, x)
        y.
    scene : Scene
        First guess.
    start : ndarray of float32
        First estimate of the PSF, sum 1.
    iterations : int
        Richardson–Lucy steps.
    engine : Engine
        Where to compute.
    callback : callable or None
        Called with a `State` after every step.

    Returns
    -------
    psf : ndarray of float32
        Of the shape of `start`, not normalised.
    scene : Scene
        As fitted.
    light : ndarray of float32
        Of the image's shape: what the beads make in the image, without background.
    """
    data = np.maximum(image, 0).astype(np.float32)
    mask = None if scene.mask.all() else as_volume(scene.mask)
    reversal = Reversal(as_volume(data), mask, as_volume(start).shape, engine)
    beads = make_beads(data.shape, scene.positions, scene.diameter)
    psf = start
    for done in range(0, iterations, _TOGETHER):
        steps = Steps(min(_TOGETHER, iterations - done), done, iterations)
        drawn = draw_beads(data.shape, beads, scene.flux)
        base = scene.background
        base = base.reshape(1, 1, 1) if base.size == 1 else as_volume(base)
        solution = reversal.solve(as_volume(drawn), base, as_volume(psf), steps, "biggs", callback)
        psf = solution.psf.reshape(start.shape)
        light = solution.light.reshape(data.shape)
        if done + steps.number < iterations:
            scene = _refined(data, light, spline_values(psf), scene)
    return spline_values(psf), scene, light


def _refined(data: Float, light: Float, psf: Float, scene: Scene) -> Scene:
    """Let background and beads follow the PSF."""
    least = least_light(data)
    base = scene.background
    if not scene.known:
        model = np.maximum(light + base, least)
        step = SmoothBackground(data.shape).fit(data - model, scene.mask / model)
        base = np.maximum(step + base, 0, dtype=np.float32)
    template = Template(psf, scene.diameter).cropped(BOX * scene.width)
    model = np.maximum(light + base, least)
    flux = refine_flux(data, model, data < data.max(), template, scene.positions, scene.flux)
    # Twice the flux and half the PSF are the same image: the beads keep their light, which the
    # fit shares between bead and local offset.
    kept = float(scene.flux[scene.used].sum() / flux[scene.used].sum())
    return replace(scene, flux=kept * flux, background=base)

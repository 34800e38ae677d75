"""Blind deconvolution: the object and the PSF in turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.sparse
from scipy import fft

from napari_deconv.errors import DeconvError
from napari_deconv.forward import Convolution, Observation, centred_at_origin, fast_shape
from napari_deconv.solvers.position import Monitor, Position, Solver

__all__ = ["OBJECT_STEPS", "PsfConstraints", "blind"]

Float = npt.NDArray[np.float32]
Double = npt.NDArray[np.float64]

OBJECT_STEPS = 25
"""Steps of the object before each of the PSF's turns."""

_PSF_STEPS = 5

# A start this much too wide still has the true PSF's frequencies in its band.
_BAND_MARGIN = 1.25

# The band ends where the OTF falls below this.
_BAND_EDGE = 0.01

# What counts for the centre: values above this part of the largest one.
_CORE = 0.2


def blind(
    model: Convolution,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    *,
    psf: Float,
    symmetric: bool,
    object_solver: Solver,
) -> Iterator[Position]:
    """Estimate the object and the PSF in turn, both by Richardson–Lucy.

    After every 25 steps of the object, 5 of the PSF: with the object as kernel,
    h ← h/N · Xᵀ[M·y/(h ⊗ x + b)], N = XᵀM, then the constraints of `PsfConstraints`. (Fish,
    Brinicombe, Pike & Walker, J. Opt. Soc. Am. A 12, 58, 1995; Holmes, J. Opt. Soc. Am. A 9, 1052,
    1992.)

    Parameters
    ----------
    model : Convolution
        H, made with the first PSF; its OTF is replaced.
    observation : Observation
        y, b and M.
    position : Position
        Where to start; updated in place. ``memory["psf"]`` is the PSF, in its box, as an array of
        the engine.
    iterations : int
        Steps of the object to do; 50 give the PSF two turns.
    monitor : Monitor
        Measures on the way.
    psf : ndarray of float32
        The first PSF (z, y, x), sum 1, its centre at voxel n // 2: rather too wide than too narrow.
    symmetric : bool
        Make the PSF radially symmetric in x and y.
    object_solver : Solver
        Does the steps of the object, and goes on from a position's memory.

    Yields
    ------
    Position
        The same object after each step of the object.

    Raises
    ------
    DeconvError
        If the PSF is larger than the model's grid, or no voxel can be seen in the data.

    Notes
    -----
    The data alone do not tell a sharp object under a wide PSF from a blurred one under a narrow
    PSF; after a few steps the object is still blurred. Turns of 5 steps each, as in Fish's paper,
    made the PSF too narrow, and worse with every round. With 25 accelerated steps the object is as
    sharp as the PSF allows when the PSF's turn comes: a PSF too wide is corrected, one too narrow
    is hardly changed.
    """
    engine = model.engine
    if any(n > size for n, size in zip(psf.shape, model.grid, strict=True)):
        raise DeconvError(
            f"The PSF has shape {psf.shape}, the image {model.grid}: to estimate the PSF, crop it "
            "to at most the image's size, or choose another boundary than 'circular'."
        )
    constraints = PsfConstraints(psf, symmetric)
    current = position.memory.get("psf", engine.asarray(psf))
    _use(model, engine.to_numpy(current))
    last = position.iteration + iterations
    while position.iteration < last:
        ahead = OBJECT_STEPS - position.iteration % OBJECT_STEPS
        count = min(ahead, last - position.iteration)
        for _ in object_solver(model, observation, position, count, monitor):
            if position.iteration % OBJECT_STEPS == 0:
                values = _psf_turn(model, observation, position, engine.to_numpy(current))
                current = engine.asarray(constraints.apply(values))
                _use(model, engine.to_numpy(current))
            position.memory["psf"] = current
            yield position


def _use(model: Convolution, psf: Float) -> None:
    kernel = centred_at_origin(psf, model.grid)
    model.otf = model.fft.spectrum(model.engine.asarray(kernel))


def _psf_turn(
    model: Convolution, observation: Observation, position: Position, psf: Float
) -> Float:
    """Do the PSF's steps; a voxel that is 0, as all outside its box, stays 0."""
    engine = model.engine
    # The object has the sum 1 and the PSF all light, so that N is a part of the light as it is for
    # objects.
    flux = engine.sum(position.estimate)
    shape = engine.full(model.grid, 0.0)
    engine.combine(position.estimate, 1 / flux, position.estimate, 0.0, shape)
    spectrum = model.fft.spectrum(shape)
    kernel = engine.asarray(centred_at_origin(psf, model.grid) * np.float32(flux))
    mask = observation.mask
    seen = mask if mask.size > 1 else engine.full(model.shape, 1.0)
    normalization, correction = (engine.full(model.grid, 0.0) for _ in range(2))
    model.fft.correlate(seen, spectrum, normalization)
    light = engine.full(model.shape, 0.0)
    for _ in range(_PSF_STEPS):
        model.fft.convolve(kernel, spectrum, light)
        engine.ratio(light, observation.data, observation.background, observation.floor)
        model.fft.correlate(light, spectrum, correction)
        engine.update(correction, kernel, normalization)
        kernel, correction = correction, kernel
    places = [(np.arange(n) - n // 2) % size for n, size in zip(psf.shape, model.grid, strict=True)]
    values: Float = engine.to_numpy(kernel)[np.ix_(*places)]
    return values


class PsfConstraints:
    """What is known of a PSF: its box, its band, its centre, and that it is light.

    Parameters
    ----------
    start : ndarray of float32
        The first PSF (z, y, x). Its OTF is above 1 % in a band of frequencies; the true one's band
        may be 1.25 times as large along each axis, because the start may be a fifth too wide.
    symmetric : bool
        Whether to average rings around the axis x = y = 0.
    """

    def __init__(self, start: Float, symmetric: bool) -> None:
        # Twice the box, so that nothing wraps round.
        self._grid = fast_shape([2 * n for n in start.shape])
        otf = np.abs(fft.fftn(centred_at_origin(start, self._grid)))
        inner = [np.rint(np.fft.fftfreq(n) * n / _BAND_MARGIN).astype(int) % n for n in self._grid]
        self._band = otf[np.ix_(*inner)] > _BAND_EDGE
        self._centre = _centre(start)
        self._rings = _rings(start.shape[1:]) if symmetric else None

    def apply(self, psf: Float) -> Float:
        """Make the nearest PSF that keeps to them, step by step: (z, y, x), sum 1."""
        values = self._in_band(psf)
        if self._rings is not None:
            values = _ring_averages(values, self._rings)
        np.maximum(values, 0, out=values)
        result: Float = (values / values.sum()).astype(np.float32)
        return result

    def _in_band(self, psf: Float) -> Double:
        """Leave out frequencies beyond the band, and bring the centre back to where it was."""
        spectrum = fft.fftn(psf.astype(np.float64), self._grid) * self._band
        for axis, offset in enumerate(self._centre - _centre(psf)):
            ramp = np.exp(-2j * np.pi * np.fft.fftfreq(self._grid[axis]) * offset)
            spectrum *= ramp.reshape([-1 if a == axis else 1 for a in range(3)])
        values: Double = fft.ifftn(spectrum).real[tuple(slice(n) for n in psf.shape)]
        return values


def _centre(psf: Float) -> Double:
    core = np.maximum(psf - _CORE * psf.max(), 0)
    return np.array(scipy.ndimage.center_of_mass(core))


def _rings(shape: tuple[int, ...]) -> scipy.sparse.csr_array:
    """Weights of radii 0, 1, 2 … pixels in each pixel of a plane, linear in between."""
    y, x = (np.arange(n) - n // 2 for n in shape)
    radius = np.hypot(y[:, np.newaxis], x).ravel()
    inner = np.floor(radius).astype(int)
    outer_part = radius - inner
    pixels = np.arange(radius.size)
    return scipy.sparse.csr_array(
        (
            np.concatenate([1 - outer_part, outer_part]),
            (np.tile(pixels, 2), np.concatenate([inner, inner + 1])),
        ),
        shape=(radius.size, int(inner.max()) + 2),
    )


def _ring_averages(values: Double, rings: scipy.sparse.csr_array) -> Double:
    """Fit a radial profile to each plane by least squares: a symmetric one stays as it is."""
    planes = values.reshape(len(values), -1).T
    profile = np.linalg.pinv((rings.T @ rings).toarray()) @ (rings.T @ planes)
    fitted: Double = (rings @ profile).T.reshape(values.shape)
    return fitted

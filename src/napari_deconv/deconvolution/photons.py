"""Light counted in photons: what stopping by noise and some methods need."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import Problem, Volume, less
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.forward import Observation
from napari_deconv.gain import CameraGain, Noise, gain_of, noise_of
from napari_deconv.solvers.position import DataMonitor, Monitor
from napari_deconv.solvers.stopping import Stopping, expected_discrepancy, make_stopping
from napari_deconv.solvers.thinning import HELD_OUT, split_photons

__all__ = ["UNKNOWN", "Camera", "count_photons", "hold_out", "less_offset"]

Float = npt.NDArray[np.float32]

UNKNOWN = CameraGain(nan, 0.0, nan)
"""A camera whose photons are not counted."""


class Camera:
    """What is known of the camera, and what follows from it for one volume.

    Parameters
    ----------
    problem : Problem
        The volume as it was recorded.
    options : Options
        What is to be done: a gain and an offset that are not given are estimated if they are
        needed.

    Attributes
    ----------
    gain : float
        Grey values a photon; NaN if it is neither given nor needed.
    problem : Problem
        The volume to deconvolve: without the photons that are kept aside.
    stopping : Stopping
        The rule.

    Raises
    ------
    DeconvError
        If a method or a model of the noise needs the gain, and it cannot be estimated.

    Warns
    -----
    DeconvWarning
        If only the stopping rule does: then there is none.
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        camera = count_photons(lambda: noise_of(_without_mask(problem)), options)
        self.gain, self._offset = camera.gain, camera.offset
        stop = options.stop
        if stop in ("consensus", "discrepancy") and camera is UNKNOWN:
            stop = None
        if options.fits_photons:
            problem, self._offset = less_offset(problem, problem.image, camera.offset), 0.0
        self.problem = problem
        self._held_out: Float | None = None
        expected = 1.0
        if stop == "consensus":
            self.problem, self._held_out = hold_out(problem, self.gain, self._offset)
        elif stop == "discrepancy":
            photons = np.maximum(problem.image - self._offset, 0) / self.gain
            expected = expected_discrepancy(photons, problem.mask)
        self.stopping: Stopping = make_stopping(stop, expected)

    def monitor(self, volume: Volume) -> Monitor:
        """Make what measures the finest level."""
        if not self.gain > 0:
            return DataMonitor(volume.model, volume.observation)
        photon = self.gain / volume.scale
        counts = self._counts(volume, self.problem.image) if self._offset else volume.observation
        if self._held_out is None:
            return DataMonitor(volume.model, volume.observation, counts, None, photon)
        # Both parts are as bright as the whole, of fewer photons.
        held_out = self._counts(volume, self._held_out)
        photons = photon / (1 - HELD_OUT), photon / HELD_OUT
        return DataMonitor(volume.model, volume.observation, counts, held_out, *photons)

    def _counts(self, volume: Volume, image: npt.NDArray[Any]) -> Observation:
        less = less_offset(self.problem, image, self._offset)
        return Volume(less, volume.model, volume.scale).observation


def less_offset(problem: Problem, image: npt.NDArray[Any], offset: float) -> Problem:
    """Take the offset off an image of a problem and off its background."""
    light = less(image, offset)
    np.maximum(light, 0, out=light)
    background = np.maximum(problem.background - offset, 0)
    return replace(problem, image=light, background=background)


def hold_out(problem: Problem, gain: float, offset: float) -> tuple[Problem, Float]:
    """Keep some photons aside; give the problem without them, and their image."""
    first, second = split_photons(problem.image, gain=gain, offset=offset, start=problem.start)
    return replace(problem, image=np.maximum(first, 0)), second


def count_photons(measure: Callable[[], Sequence[Noise]], options: Options) -> CameraGain:
    """Take the gain and the offset that are given, or estimate them where they are needed.

    Parameters
    ----------
    measure : callable
        Gives the noise in the parts of the image, masked voxels as bright as any.
    options : Options
        What is to be done.

    Returns
    -------
    CameraGain
        `UNKNOWN` where photons need not be counted, or only a stopping rule would.

    Raises
    ------
    DeconvError
        If a method or a model of the noise needs the gain, and it cannot be estimated.

    Warns
    -----
    DeconvWarning
        If only the stopping rule does.
    """
    if options.gain is not None:
        return CameraGain(options.gain, options.offset or 0.0, 0.0)
    if not options.counts_photons:
        return UNKNOWN
    parts = measure()
    try:
        return gain_of(parts, options.offset)
    except DeconvError as error:
        if options.fits_photons:
            raise
        # A rule cannot judge what it cannot count; the iterations asked for are still there.
        warnings.warn(
            f"{error} Without it stop={options.stop!r} has nothing to go by: all iterations are "
            "done.",
            DeconvWarning,
            stacklevel=3,
        )
        return UNKNOWN


def _without_mask(problem: Problem) -> npt.NDArray[Any]:
    if problem.mask is None:
        return problem.image
    return np.where(problem.mask, problem.image, problem.image[problem.mask].max())

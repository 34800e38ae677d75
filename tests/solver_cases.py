"""Specimens, their photon images, and what a solver takes, for tests below `deconvolve`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal

from napari_deconv.forward import Convolution, Observation, centred_at_origin, fast_shape
from napari_deconv.solvers.position import DataMonitor, Position

FLOOR = 1e-6


@dataclass
class Case:
    """A forward model and what was recorded, in units of `scale`."""

    model: object
    observation: Observation
    scale: float
    image: np.ndarray

    def start(self):
        """A flat estimate."""
        level = max((self.image.mean() - self.background) / self.scale, 1e-3)
        return Position(self.model.engine.full(self.model.grid, level))

    def run(self, solver, position, iterations, **settings):
        """The solver's steps."""
        monitor = DataMonitor(self.model, self.observation)
        return solver(self.model, self.observation, position, iterations, monitor, **settings)

    def read(self, estimate):
        """An estimate on the image, in photons."""
        return self.model.engine.to_numpy(estimate, self.image.shape) * self.scale

    @property
    def background(self):
        engine = self.model.engine
        return float(engine.to_numpy(self.observation.background)[0, 0, 0]) * self.scale


def convolution(engine, psf, shape, boundary="padded"):
    """The model of a PSF in its box."""
    padded = [n + m - 1 for n, m in zip(shape, psf.shape, strict=True)]
    grid = shape if boundary == "circular" else fast_shape(padded)
    kernel = centred_at_origin(psf.astype(np.float32), grid)
    return Convolution(engine, kernel, shape)


def case(model, image, background, mask=None):
    """Scale an image as `deconvolve` does."""
    engine = model.engine
    scale = float(2 ** np.floor(np.log2(image.max())))
    counted = np.ones((1, 1, 1)) if mask is None else mask
    observation = Observation(
        engine.asarray(image * counted / scale),
        engine.full((1, 1, 1), background / scale),
        engine.asarray(counted),
        FLOOR,
    )
    return Case(model, observation, scale, image)


def gaussian(shape, sigma):
    """A bell of sum 1 around voxel n // 2."""
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij")
    psf = np.exp(-sum((g / s) ** 2 for g, s in zip(grids, sigma, strict=True)) / 2)
    return (psf / psf.sum()).astype(np.float32)


def blobs(shape, sigma=(1, 1.5, 1.5), seed=3):
    """Blobs of different brightness on a dark field, the brightest voxel 1."""
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape)
    for _ in range(14):
        truth[tuple(rng.integers(min(4, n // 2), n - n // 4) for n in shape)] += rng.uniform(1, 3)
    truth = scipy.ndimage.gaussian_filter(truth, sigma)
    return truth / truth.max()


def photons(truth, psf, background, seed=0):
    """A photon image of a specimen on a dark field."""
    light = scipy.signal.fftconvolve(truth, psf, "same") + background
    return np.random.default_rng(seed).poisson(np.maximum(light, 0)).astype(np.float32)


def nrmse(estimate, truth):
    """Root mean square error over the root mean square."""
    return float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth))

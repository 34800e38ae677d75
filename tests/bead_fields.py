"""Simulated fields of beads with known centres."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import erf

from napari_deconv.beads import Rejection

SPACING = (0.2, 0.08, 0.08)
FWHM = (0.7, 0.27, 0.24)
SHAPE = (40, 150, 160)
BACKGROUND = 100.0
SIGMA = np.array(FWHM) / SPACING / 2.3548
VOLUME = np.prod(SIGMA * np.sqrt(2 * np.pi))  # flux of a bead of height 1
RULES = ("edge", "neighbour", "saturated", "brightness", "doublet", "fit", "correlation")
NO_RULES = Rejection(**dict.fromkeys(RULES, False))


def bead(shape, centre, height, sigma=SIGMA):
    """Integrate a Gaussian bead over the voxels."""
    image = np.array(height * np.prod(np.sqrt(2 * np.pi) * np.asarray(sigma)))
    for size, c, s in zip(shape, centre, sigma, strict=True):
        edges = erf((np.arange(size + 1) - 0.5 - c) / (s * np.sqrt(2)))
        image = np.multiply.outer(image, np.diff(edges) / 2)
    return image


def apart(count, shape, distance, margin, rng):
    """Random places at least `distance` from each other along some axis."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(margin, np.array(shape) - 1 - margin)
        if all(np.any(np.abs(place - other) > distance) for other in places):
            places.append(place)
    return np.array(places)


def uneven(shape):
    ramp = np.linspace(0.8, 1.3, shape[-1]) * np.linspace(1.1, 0.9, shape[-2])[:, np.newaxis]
    return np.broadcast_to(BACKGROUND * ramp, shape).copy()


def match(truth, found):
    """Index of the found bead at each true place, or -1."""
    distances = cdist(truth, found)
    nearest = distances.argmin(axis=1)
    return np.where(distances.min(axis=1) < 1, nearest, -1)

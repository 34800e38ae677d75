"""Fitting beads and a smooth background to an image, for a known PSF.

The image is y ≈ u = Σᵢ fᵢ·T(r − rᵢ) + b, T the image of a bead of unit flux. All parameters follow
from the likelihood of photon noise by Fisher scoring: δθ = (JᵀWJ)⁻¹JᵀW(y − u), W = M/u.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from napari_deconv.beads.rendering import Template

__all__ = ["Light", "SmoothBackground", "fit_light", "least_light", "refine_flux"]

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_DEGREE = 2
_ROUNDS = 4
_FEWEST_VOXELS = 8
# Voxels that stay in the cache while they are summed up.
_CACHED = 1 << 17
# A scoring step dims a bead to no less than this part: dark ones would stay dark.
_LEAST_FLUX = 0.1


class SmoothBackground:
    """A polynomial of degree 2 in the coordinates of an image.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._powers = [p for p in product(range(_DEGREE + 1), repeat=len(shape)) if sum(p) <= 2]
        # Axis coordinates from −1 to 1 to the powers that products of two terms need.
        self._bases = [
            np.linspace(-1, 1, n)[:, np.newaxis] ** np.arange(2 * _DEGREE + 1) for n in shape
        ]

    def fit(self, data: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]) -> Doubles:
        """Fit to data by weighted least squares; returns an array of the image's shape."""
        moments, right = self._moments(data, weights)
        terms = self._powers
        normal = [[moments[tuple(np.add(a, b))] for b in terms] for a in terms]
        solution = np.linalg.lstsq(np.array(normal), np.array([right[a] for a in terms]))[0]
        coefficients = np.zeros((_DEGREE + 1,) * len(self._shape))
        coefficients[tuple(np.array(terms).T)] = solution
        surface = coefficients
        # NumPy's dot first clears its result, here as large as the image, and holds Python's lock
        # meanwhile, so that a window stands still; matmul does not.
        for basis in reversed(self._bases):
            # Expands the last axis not yet expanded and brings it to the front.
            *others, last = surface.shape
            surface = basis[:, :last] @ surface.reshape(-1, last).T
            surface = surface.reshape(-1, *others)
        return surface

    def _moments(
        self, data: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
    ) -> tuple[Doubles, Doubles]:
        """Σ w·zᵃyᵇxᶜ and Σ w·data·zᵃyᵇxᶜ for all powers."""
        moments, right = np.zeros((2, *[2 * _DEGREE + 1] * len(self._shape)))
        together = max(1, _CACHED * self._shape[0] // data.size)
        for start in range(0, self._shape[0], together):
            part = slice(start, start + together)
            bases = [self._bases[0][part], *self._bases[1:]]
            weight = weights[part].astype(np.float64)
            moments += _sums(weight, bases)
            right += _sums(weight * data[part], bases)
        return moments, right


def _sums(values: Doubles, bases: list[Doubles]) -> Doubles:
    """Σ values·zᵃyᵇxᶜ for all powers in the bases of the axes."""
    for basis in reversed(bases):
        # Sums over the last axis, and brings the powers to the front.
        values = np.moveaxis(values @ basis, -1, 0)
    return values


def refine_flux(
    image: npt.NDArray[np.floating],
    model: npt.NDArray[np.floating],
    mask: Flags,
    template: Template,
    positions: Doubles,
    flux: Doubles,
) -> Doubles:
    """Do one scoring step for the flux of each bead, with an offset of its own.

    Parameters
    ----------
    image : ndarray (z, y, x) or (y, x)
        y.
    model : ndarray
        u at the given flux, above 0.
    mask : ndarray of bool
        M; False leaves a voxel out.
    template : Template
        T, cropped to where a bead stands out.
    positions : ndarray (n, 3) or (n, 2)
        In voxels.
    flux : ndarray (n,)
        In grey values.

    Returns
    -------
    ndarray (n,)
        Never negative. Where a bead has too few voxels, it is what was given.
    """
    refined = flux.copy()
    for i, (position, amount) in enumerate(zip(positions, flux, strict=True)):
        inside, own = template.place(position, image.shape)
        counted = mask[inside]
        if counted.sum() < _FEWEST_VOXELS:
            continue
        light = model[inside][counted]
        shape = template.shifted(position)[own][counted]
        weight = 1 / np.sqrt(light)
        design = np.stack([shape, np.ones(shape.size)], axis=1) * weight[:, np.newaxis]
        step = np.linalg.lstsq(design, (image[inside][counted] - light) * weight)[0]
        refined[i] = max(amount + step[0], _LEAST_FLUX * amount)
    return refined


@dataclass(frozen=True, eq=False)
class Light:
    """An image taken apart: Σᵢ fᵢ·T(r − rᵢ), b, and fᵢ."""

    beads: Doubles
    background: Doubles
    flux: Doubles


def fit_light(
    image: Doubles,
    template: Template,
    positions: Doubles,
    flux: Doubles,
    reach: Doubles,
    background: Doubles | None,
) -> Light:
    """Fit the flux of beads at known places, and the background unless it is given.

    Parameters
    ----------
    image : ndarray (z, y, x) or (y, x)
        y.
    template : Template
        T.
    positions : ndarray (n, 3) or (n, 2)
        In voxels.
    flux : ndarray (n,)
        First guess, in grey values.
    reach : ndarray
        The flux is fitted within so many voxels of a bead.
    background : ndarray or None
        b; None fits a `SmoothBackground`.
    """
    core = template.cropped(reach)
    smooth = SmoothBackground(image.shape)
    amounts = np.maximum(flux, 0) / max(core.image.sum(), 0.1)
    unsaturated = image < image.max()
    base = np.full(image.shape, np.percentile(image, 10)) if background is None else background
    for _ in range(_ROUNDS):
        beads = template.render(image.shape, positions, amounts)
        if background is None:
            base = _raise_to(base, beads, image, smooth)
        model = np.maximum(beads + base, least_light(image))
        amounts = refine_flux(image, model, unsaturated, core, positions, amounts)
    return Light(template.render(image.shape, positions, amounts), base, amounts)


def _raise_to(base: Doubles, beads: Doubles, image: Doubles, smooth: SmoothBackground) -> Doubles:
    """Do a scoring step for the background."""
    model = np.maximum(beads + base, least_light(image))
    return np.maximum(base + smooth.fit(image - beads - base, 1 / model), 0)


def least_light(image: npt.NDArray[np.floating]) -> float:
    """Give the smallest light to divide by in an image."""
    return 1e-6 * max(float(image.max()), 1e-30)

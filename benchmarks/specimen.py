"""The specimen that every contender deconvolves: filaments, beads and blobs, truth included."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_deconv import DeconvWarning, make_psf
from napari_deconv import _phantoms as draw

__all__ = ["Specimen", "make_specimen"]

Floats = npt.NDArray[np.float64]
Shape = tuple[int, ...]

SPACING = (0.2, 0.08, 0.08)
BACKGROUND = 100.0
_PHOTONS = 1.5e4
_DENSITY = 200 / (190 * 382 * 382)


@dataclass(frozen=True, eq=False)
class Specimen:
    """A simulated widefield image with its truth.

    Attributes
    ----------
    image : ndarray of float32
        Poisson(truth ⊗ psf + background) (z, y, x), in photons.
    truth : ndarray of float32
        The object in the image's field, in photons a voxel.
    psf : ndarray of float32
        Its point at voxel n // 2, sum 1.
    background : float
        Photons a voxel that do not come from the object.
    """

    image: npt.NDArray[np.float32]
    truth: npt.NDArray[np.float32]
    psf: npt.NDArray[np.float32]
    background: float

    def save(self, path: Path) -> None:
        """Write it for another process."""
        np.savez(path, image=self.image, truth=self.truth, psf=self.psf, b=self.background)

    @classmethod
    def load(cls, path: Path) -> Specimen:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["image"], arrays["truth"], arrays["psf"], float(arrays["b"]))


def make_specimen(
    shape: Shape = (64, 256, 256), psf_shape: Shape = (127, 127, 127), seed: int = 0
) -> Specimen:
    """Simulate a specimen in a widefield microscope: NA 1.4 oil, 520 nm, background 100.

    The object fills a field that is larger than the image by half a PSF on every side, so that
    light from outside reaches into the image. It is blurred by a linear convolution in double
    precision, of which only the voxels that the border of the field does not reach are kept.

    Parameters
    ----------
    shape : tuple of int
        Of the image (z, y, x).
    psf_shape : tuple of int
        Of the PSF, odd.
    seed : int
        Seed of the object and of the noise.
    """
    rng = np.random.default_rng(seed)
    field = tuple(n + m - 1 for n, m in zip(shape, psf_shape, strict=True))
    object_ = _PHOTONS * (_filaments(field, rng) + _beads(field, rng) + _blobs(field, rng))
    psf = widefield_psf(psf_shape)
    image = rng.poisson(_blur(object_, psf.astype(float), shape) + BACKGROUND)
    inside = tuple(slice(m // 2, m // 2 + n) for n, m in zip(shape, psf_shape, strict=True))
    return Specimen(
        image.astype(np.float32), object_[inside].astype(np.float32), psf, BACKGROUND
    )  # fmt: skip


def widefield_psf(shape: Shape) -> npt.NDArray[np.float32]:
    """Compute the PSF of the specimen's microscope; the window may cut off its cone of light."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)
        psf = make_psf(
            "gibson_lanni", shape=shape, spacing=SPACING, na=1.4, wavelength=0.52,
            n_immersion=1.515, engine="cpu",
        )  # fmt: skip
    data: npt.NDArray[np.float32] = psf.data
    return data


def _number(field: Shape, each: float) -> int:
    """How many of a kind of object a field holds."""
    return max(1, round(each * _DENSITY * float(np.prod(field))))


def _filaments(field: Shape, rng: np.random.Generator) -> Floats:
    """Lay slowly bending lines of 15 µm through the field, mostly across the optical axis."""
    number, spacing = _number(field, 1), np.array(SPACING)
    size = np.array(field) * spacing
    angle = rng.uniform(0, 2 * np.pi, number)
    rise = rng.normal(0, 0.15, number)
    direction = 0.03 * np.column_stack([rise, np.sin(angle), np.cos(angle)])
    path = draw.filament_points(
        rng.random((number, 3)) * size, direction, 500, 0.003,
        lambda position: np.full(len(position), size[0]), rng,
    )  # fmt: skip
    brightness = np.broadcast_to(rng.uniform(0.4, 1.0, number), path.shape[:2])
    return draw.deposit(field, path.reshape(-1, 3) / spacing, brightness.ravel())


def _beads(field: Shape, rng: np.random.Generator) -> Floats:
    """Scatter beads of 0.2 µm."""
    number, points = _number(field, 3), 60
    centres = rng.random((number, 3)) * field
    ball = draw.ball_points(0.1 / np.array(SPACING), points, rng)
    flux = np.repeat(rng.uniform(20, 60, number) / points, points)
    return draw.deposit(field, (centres[:, None] + ball).reshape(-1, 3), flux)


def _blobs(field: Shape, rng: np.random.Generator) -> Floats:
    """Scatter evenly filled ellipsoids of about 1.5 µm."""
    number = _number(field, 0.3)
    volume = np.zeros(field)
    centres = rng.random((number, 3)) * field
    radii = rng.uniform(0.4, 1.2, (number, 1)) * rng.uniform(0.7, 1.3, (number, 3)) / SPACING
    for centre, radius in zip(centres, radii, strict=True):
        low = np.maximum(np.floor(centre - radius - 2), 0).astype(int)
        high = np.minimum(np.ceil(centre + radius + 3), field).astype(int)
        region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        volume[region] += 0.25 * draw.ellipsoid(tuple(high - low), centre - low, radius)
    return volume


def _blur(field: Floats, psf: Floats, shape: Shape) -> Floats:
    """Convolve, and keep what no border reaches: of field − PSF + 1 voxels."""
    grid = [scipy.fft.next_fast_len(n, real=True) for n in field.shape]
    spectrum = scipy.fft.rfftn(field, grid, workers=-1) * scipy.fft.rfftn(psf, grid, workers=-1)
    blurred = scipy.fft.irfftn(spectrum, grid, workers=-1)
    kept: Floats = blurred[
        tuple(slice(m - 1, m - 1 + n) for n, m in zip(shape, psf.shape, strict=True))
    ]
    return np.maximum(kept, 0)

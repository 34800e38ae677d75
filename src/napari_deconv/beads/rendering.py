"""What a bead looks like through a known PSF, anywhere between the voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d, spline_filter

__all__ = ["Template", "blur_by_sphere", "cubic_spline"]

Doubles = npt.NDArray[np.float64]
Slices = tuple[slice, ...]

# Offsets in voxels where a cubic B-spline that is shifted by up to half a voxel is not 0.
_TAPS = np.arange(-2.0, 3.0)


class Template:
    """The image of a bead of unit flux: PSF ⊗ sphere, put at sub-voxel places by cubic splines.

    Parameters
    ----------
    psf : ndarray (z, y, x) or (y, x)
        The point-spread function, centre voxel n // 2.
    diameter : sequence of float
        Of the bead along each axis, in voxels; 0 for a point.
    """

    def __init__(self, psf: npt.NDArray[np.floating], diameter: Sequence[float]) -> None:
        self.image = blur_by_sphere(psf, diameter)
        self._coefficients = spline_filter(self.image, order=3, mode="mirror")

    def cropped(self, reach: Doubles) -> Template:
        """Keep only what lies within `reach` voxels of the centre."""
        kept = object.__new__(Template)
        centre = np.array(self.image.shape) // 2
        half = np.minimum(np.ceil(reach).astype(int), (np.array(self.image.shape) - 1) // 2)
        box = tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))
        kept.image, kept._coefficients = self.image[box], self._coefficients[box]
        return kept

    def place(self, position: Doubles, shape: tuple[int, ...]) -> tuple[Slices, Slices]:
        """Find the voxels of an image that the template covers, and those of its own they are."""
        nearest = np.rint(position).astype(int)
        first = nearest - np.array(self.image.shape) // 2
        begin = np.clip(first, 0, shape)
        end = np.clip(first + self.image.shape, 0, shape)
        pairs = list(zip(begin.tolist(), end.tolist(), first.tolist(), strict=True))
        inside = tuple(slice(a, b) for a, b, _ in pairs)
        return inside, tuple(slice(a - f, b - f) for a, b, f in pairs)

    def shifted(self, position: Doubles) -> Doubles:
        """Interpolate the template for a bead at a position (only its fraction of a voxel)."""
        fraction = position - np.rint(position)
        out = self._coefficients
        for axis, part in enumerate(fraction):
            out = convolve1d(out, cubic_spline(_TAPS - part), axis, mode="mirror")
        return out

    def render(self, shape: tuple[int, ...], positions: Doubles, flux: Doubles) -> Doubles:
        """Draw beads into an empty image."""
        image = np.zeros(shape)
        for position, amount in zip(positions, flux, strict=True):
            inside, own = self.place(position, shape)
            image[inside] += amount * self.shifted(position)[own]
        return image


def blur_by_sphere(psf: npt.NDArray[np.floating], diameter: Sequence[float]) -> Doubles:
    """Convolve with a sphere of unit sum, in 2-D with its projection.

    The Fourier transform of a ball of radius R at q = 2πR|ν| is 3·(sin q − q·cos q)/q³, and that of
    a projection is a section of it (Bracewell, The Fourier Transform and Its Applications, 1965).
    """
    across = np.asarray(diameter, float)
    data = np.asarray(psf, float)
    if not across.any():
        return data
    margin = np.ceil(across).astype(int)
    padded = np.pad(data, [(m, m) for m in margin.tolist()])
    frequencies = [np.fft.fftfreq(n) for n in padded.shape]
    frequencies[-1] = np.fft.rfftfreq(padded.shape[-1])
    squares = ((np.pi * d * nu) ** 2 for d, nu in zip(across, frequencies, strict=True))
    q = np.sqrt(sum(np.ix_(*squares)))
    # Below this, the series 1 − q²/10 is exact to double precision, the quotient is not.
    small = q < 1e-2
    safe = np.where(small, 1.0, q)
    ball = np.where(
        small, 1 - q**2 / 10 + q**4 / 280, 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    )
    blurred = np.fft.irfftn(np.fft.rfftn(padded) * ball, padded.shape, axes=range(padded.ndim))
    inner = tuple(slice(m, m + n) for m, n in zip(margin.tolist(), data.shape, strict=True))
    out: Doubles = blurred[inner]
    return out


def cubic_spline(x: Doubles) -> Doubles:
    """Cubic B-spline β³(x), 0 from |x| = 2 (Unser, IEEE Signal Process. Mag. 16(6), 22, 1999)."""
    a = np.abs(x)
    return np.where(a < 1, 2 / 3 - a**2 + a**3 / 2, np.where(a < 2, (2 - a) ** 3 / 6, 0.0))

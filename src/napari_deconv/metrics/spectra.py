"""Power spectrum and Fourier shell correlation.

Images are (y, x) or (z, y, x) with voxels in µm; frequencies are in 1/µm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal

from napari_deconv._checks import check_image, check_number
from napari_deconv.errors import DeconvError
from napari_deconv.metrics._voxels import voxel_size
from napari_deconv.solvers.thinning import split_photons

__all__ = [
    "PowerSpectrum",
    "ShellCorrelation",
    "fourier_shell_correlation",
    "power_spectrum",
    "split_correlation",
]

Floats = npt.NDArray[np.float64]

_SMALLEST = 8  # voxels along an axis


@dataclass(frozen=True)
class PowerSpectrum:
    """The power of an image in shells of spatial frequency.

    Attributes
    ----------
    frequency : ndarray
        Of the shells, in 1/µm, from one step above 0 to the Nyquist frequency.
    power : ndarray
        Mean of each shell, in grey values². White noise of variance σ² has power σ² everywhere.
    """

    frequency: Floats
    power: Floats


@dataclass(frozen=True)
class ShellCorrelation:
    """How far two images agree, in shells of spatial frequency.

    Attributes
    ----------
    frequency : ndarray
        Of the shells, in 1/µm.
    correlation : ndarray
        -1 to 1.
    count : ndarray
        Independent Fourier coefficients of each shell; of nothing but noise, the correlation
        scatters by about 1/√count.
    """

    frequency: Floats
    correlation: Floats
    count: Floats

    @property
    def half_bit(self) -> Floats:
        """Threshold above which each voxel of the two images together has half a bit of signal.

        (0.2071 + 1.9102/√n) / (1.2071 + 0.9102/√n), van Heel & Schatz (J. Struct. Biol. 151,
        250, 2005), for images that are halves of the data.
        """
        root = np.sqrt(self.count)
        return np.asarray((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root))

    def resolution(self, threshold: float | Floats = 1 / 7) -> float:
        """Find 1/frequency where the correlation first falls below a threshold.

        Parameters
        ----------
        threshold : float or ndarray
            1/7 for halves of the data (Rosenthal & Henderson, J. Mol. Biol. 333, 721, 2003), or
            one value a shell, as `half_bit`.

        Returns
        -------
        float
            In µm; ``inf`` if the first shell is below it already, 0 if none is: the voxels limit
            what can be told, not the noise.
        """
        excess = self.correlation - threshold
        below = np.flatnonzero(excess < 0)
        if below.size == 0:
            return 0.0
        first = below[0]
        if first == 0:
            return np.inf
        part = excess[first - 1] / (excess[first - 1] - excess[first])
        low, high = self.frequency[first - 1 : first + 1]
        return float(1 / (low + part * (high - low)))


def power_spectrum(
    image: npt.ArrayLike, spacing: float | Sequence[float]
) -> dict[str, PowerSpectrum]:
    """Average the power of an image over shells of spatial frequency.

    The mean is subtracted and a Hann window laid over the image, so that its borders, which do not
    fit each other, make no streaks.

    Parameters
    ----------
    image : array_like
        (y, x) or (z, y, x), at least 8 voxels along each axis.
    spacing : float or sequence of float
        Voxel size in µm.

    Returns
    -------
    dict of str to PowerSpectrum
        ``"lateral"``, and of a volume ``"axial"``: of the frequencies nearer to the focal plane,
        and nearer to the optical axis.

    Raises
    ------
    DeconvError
        If the image or the spacing cannot be used.
    """
    volume = _checked(image, "image")
    power = np.abs(_spectrum(volume)) ** 2
    return {
        name: PowerSpectrum(shells.frequency, shells.sum(power) / shells.members)
        for name, shells in _directions(volume.shape, spacing).items()
    }


def fourier_shell_correlation(
    first: npt.ArrayLike, second: npt.ArrayLike, spacing: float | Sequence[float]
) -> dict[str, ShellCorrelation]:
    """Correlate two images in shells of spatial frequency (rings, for planes).

    FSC = Re Σ F₁F₂* / √(Σ|F₁|² Σ|F₂|²) over each shell, Harauz & van Heel (Optik 73, 146, 1986),
    under a Hann window.

    It tells signal from noise only if the noise of the two images is independent: two recordings,
    or two halves of the photons (see `split_correlation`). A filter changes neither image's signal
    to noise, and so not the correlation. Of a deconvolved image it says something if both halves
    were deconvolved apart; what the method adds to both of them in the same way, as sharp edges or
    rings, counts as signal even then.

    Parameters
    ----------
    first, second : array_like
        (y, x) or (z, y, x), of the same shape, at least 8 voxels along each axis.
    spacing : float or sequence of float
        Voxel size in µm.

    Returns
    -------
    dict of str to ShellCorrelation
        ``"lateral"``, and of volumes ``"axial"``, as in `power_spectrum`.

    Raises
    ------
    DeconvError
        If the images or the spacing cannot be used.
    """
    one, other = _checked(first, "first image"), _checked(second, "second image")
    if one.shape != other.shape:
        raise DeconvError(
            f"The images have shapes {one.shape} and {other.shape}: choose two of the same shape."
        )
    one_spectrum, other_spectrum = _spectrum(one), _spectrum(other)
    common = (one_spectrum * other_spectrum.conj()).real
    powers = np.abs(one_spectrum) ** 2, np.abs(other_spectrum) ** 2
    correlations = {}
    for name, shells in _directions(one.shape, spacing).items():
        scale = np.sqrt(shells.sum(powers[0]) * shells.sum(powers[1]))
        correlation = np.divide(shells.sum(common), scale, where=scale > 0, out=0 * scale)
        count = shells.members * _independent(one.shape)
        correlations[name] = ShellCorrelation(shells.frequency, correlation, count)
    return correlations


def split_correlation(
    image: npt.ArrayLike,
    spacing: float | Sequence[float],
    *,
    gain: float = 1.0,
    offset: float = 0.0,
) -> dict[str, ShellCorrelation]:
    """Correlate the two halves of the photons of one image in shells of spatial frequency.

    Each photon goes to one half or the other by chance, which makes the noise of the halves
    independent (Rieger et al., Opt. Express 32, 21767, 2024). It is right for raw images whose
    noise is that of photons; read-out noise that matters lowers the correlation, and of an image
    that was filtered or deconvolved it says nothing.

    Parameters
    ----------
    image : array_like
        (y, x) or (z, y, x), as it came from the camera.
    spacing : float or sequence of float
        Voxel size in µm.
    gain, offset : float
        Grey value = gain × photons + offset (see `estimate_gain`).

    Returns
    -------
    dict of str to ShellCorrelation
        As `fourier_shell_correlation`.

    Raises
    ------
    DeconvError
        If the image, the spacing, gain or offset cannot be used.
    """
    volume = _checked(image, "image")
    gain = check_number(gain, "gain", np.finfo(float).tiny)
    halves = split_photons(volume, 0.5, gain=gain, offset=check_number(offset, "offset"))
    return fourier_shell_correlation(*halves, spacing)


def _checked(image: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = check_image(image, name)
    if array.ndim > 3 or min(array.shape) < _SMALLEST:
        raise DeconvError(
            f"The {name} has shape {array.shape}: expected a plane (y, x) or a volume (z, y, x) of "
            f"at least {_SMALLEST} voxels along each axis."
        )
    return array


def _windows(shape: Sequence[int]) -> list[Floats]:
    """Make Hann windows without the zeros at their ends."""
    return [scipy.signal.windows.hann(size + 2)[1:-1] for size in shape]


def _spectrum(image: npt.NDArray[Any]) -> npt.NDArray[np.complex64]:
    """Transform an image less its mean under a window; white noise of variance 1 has power 1."""
    values = np.asarray(image - np.mean(image, dtype=np.float64), np.float32)
    for axis, window in enumerate(_windows(image.shape)):
        unit = window / np.sqrt(np.sum(window**2))
        values *= np.expand_dims(unit, tuple(range(1, image.ndim - axis))).astype(np.float32)
    return np.asarray(scipy.fft.rfftn(values, workers=-1))


def _independent(shape: Sequence[int]) -> float:
    """Say which part of the coefficients of a shell is independent.

    The window makes neighbours alike: along each axis (Σw²)² / (N Σw⁴) of them are independent. A
    shell is as thin as one coefficient, so that it has neighbours in one direction less.
    """
    parts = [np.sum(w**2) ** 2 / (w.size * np.sum(w**4)) for w in _windows(shape)]
    return float(np.mean(parts)) ** (len(shape) - 1)


class _Shells:
    """Sums over shells of spatial frequency in one direction.

    Parameters
    ----------
    distance : ndarray
        Frequency of each coefficient of the half spectrum.
    weights : ndarray
        How often it counts: as often as it is in the whole spectrum, 0 in other directions.
    step, limit : float
        Width of a shell, and the highest frequency.
    """

    def __init__(self, distance: Floats, weights: Floats, step: float, limit: float) -> None:
        number = np.rint(distance / step).astype(np.intp)
        last = int(limit / step + 1e-9)
        self._inside = (weights > 0) & (number > 0) & (number <= last)
        self._number = number[self._inside] - 1
        self._weights = weights[self._inside]
        members = np.bincount(self._number, self._weights, last).astype(np.float64)
        self._filled = members > 0  # near the axis, the lowest shells may be empty
        self.members: Floats = members[self._filled]
        self.frequency: Floats = np.asarray(step * (1.0 + np.flatnonzero(self._filled)))

    def sum(self, values: npt.NDArray[Any]) -> Floats:
        weighted = self._weights * values[self._inside]
        return np.asarray(np.bincount(self._number, weighted, self._filled.size)[self._filled])


def _directions(shape: Sequence[int], spacing: float | Sequence[float]) -> dict[str, _Shells]:
    voxel = voxel_size(spacing, len(shape))
    axes = [scipy.fft.fftfreq(n, d) for n, d in zip(shape[:-1], voxel[:-1], strict=True)]
    axes.append(scipy.fft.rfftfreq(shape[-1], voxel[-1]))
    squares = np.meshgrid(*(axis**2 for axis in axes), indexing="ij", sparse=True)
    across = squares[-2] + squares[-1]
    # Both of a conjugate pair count, of which the half spectrum has one.
    pairs = np.full(axes[-1].size, 2.0)
    pairs[0] = 1
    pairs[-1] = 1 if shape[-1] % 2 == 0 else 2
    steps = [1 / (n * d) for n, d in zip(shape, voxel, strict=True)]
    lateral = max(steps[-2:]), 1 / (2 * max(voxel[-2:]))
    if len(shape) == 2:
        distance = np.sqrt(across)
        return {"lateral": _Shells(distance, np.broadcast_to(pairs, distance.shape), *lateral)}
    distance = np.sqrt(squares[0] + across)
    near_plane = squares[0] <= across
    return {
        "lateral": _Shells(distance, pairs * near_plane, *lateral),
        "axial": _Shells(distance, pairs * ~near_plane, max(steps), 1 / (2 * voxel[0])),
    }

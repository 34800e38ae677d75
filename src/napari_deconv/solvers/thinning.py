"""One image made into two, of the same specimen and by different photons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from numpy.random import Generator, Philox
from scipy.special import bdtr, ndtri

from napari_deconv._checks import as_volume

__all__ = ["HELD_OUT", "split_photons"]

Float = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

HELD_OUT = 0.1
"""Share of the photons that ``"consensus"`` keeps aside: the fewer, the more chance decides."""

_SEED = 20081

# Up to so many photons the binomial is tabulated, 20 000 numbers; of more it is approximated, which
# is then exact to a photon, if the fraction is not too near to 0 or 1.
_FEW = 200

# Voxels that are split at once: photons are counted in double precision, which needs ten times the
# memory of the image.
_AT_ONCE = 2**18


def split_photons(
    image: npt.NDArray[np.generic],
    fraction: float = HELD_OUT,
    *,
    gain: float = 1.0,
    offset: float = 0.0,
    seed: int = _SEED,
    start: Sequence[int] = (0, 0, 0),
) -> tuple[Float, Float]:
    """Split an image into two of the same brightness that were made by different photons.

    Each photon goes to the second image with probability `fraction`: s₂ ~ Binomial(y, fraction),
    s₁ = y − s₂. If y is Poisson, so are s₁ and s₂, and they are independent (Neufeld, Dharamshi,
    Gao & Witten, J. Mach. Learn. Res. 25, 57, 2024). What is left of a voxel above a whole number
    of photons goes to one side as if it were a photon; what lies below the offset is in both
    images.

    Parameters
    ----------
    image : ndarray
        (z, y, x) or (y, x), finite.
    fraction : float
        Part of the photons for the second image, from 0.05 to 0.95.
    gain, offset : float
        Grey value = gain × photons + offset; `gain` is above 0.
    seed : int
        The same seed splits the same image in the same way.
    start : sequence of int, optional
        The image's first voxel (z, y, x) in the volume that it is a part of. Chance goes by the
        place in the volume: a part is split as the whole is.

    Returns
    -------
    first, second : ndarray of float32
        In the image's units, each with the image's expectation:
        (1 − fraction) × first + fraction × second is the image.
    """
    first, second = (np.empty(image.shape, np.float32) for _ in range(2))
    volume, kept, held = (as_volume(each) for each in (image, first, second))
    planes, rows, columns = volume.shape
    step = max(1, _AT_ONCE // columns)
    for z, y in product(range(planes), range(0, rows, step)):
        part = np.s_[z, y : y + step]
        light = volume[part].astype(np.float64) - offset
        photons = np.maximum(light, 0) / gain
        whole = np.floor(photons)
        chance, other = _chances(light.shape, (z + start[0], y + start[1], start[2]), seed)
        drawn = _binomial(chance, whole, fraction) + (photons - whole) * (other < fraction)
        below = np.minimum(light, 0) + offset
        kept[part] = gain * (photons - drawn) / (1 - fraction) + below
        held[part] = gain * drawn / fraction + below
    return first, second


def _chances(shape: Sequence[int], start: Sequence[int], seed: int) -> tuple[Doubles, Doubles]:
    """Draw two numbers from 0 to 1 for each voxel (y, x) of a plane, by its place in the volume.

    The generator counts instead of going on from what it drew last: it can begin anywhere. (Salmon,
    Moraes, Dror & Shaw, Proc. SC11, 16, 2011.)
    """
    (rows, columns), (z, y, x) = shape, start
    # A count gives four numbers: those of two voxels.
    before = int(x) % 2
    drawn = np.empty((rows, columns + before, 2))
    counting = Philox(key=seed, counter=[x // 2, y, z, 0])
    generator, rest = Generator(counting), 2**64 - -(-(columns + before) // 2)
    for numbers in drawn:
        generator.random(out=numbers)
        counting.advance(rest)  # to where the next row begins
    return drawn[:, before:, 0], drawn[:, before:, 1]


def _binomial(chance: Doubles, counts: Doubles, fraction: float) -> Doubles:
    """Give the quantiles at `chance` of Binomial(counts, fraction)."""
    few = np.minimum(counts, _FEW)
    drawn: Doubles = np.searchsorted(_distributions(fraction), few + chance) - few * (few + 1) / 2
    many = counts > _FEW
    n, z, p = counts[many], ndtri(np.maximum(chance[many], 2.0**-54)), fraction
    # Cornish & Fisher, Rev. Inst. Int. Stat. 5, 307, 1938, to the third moment.
    quantile = n * p + z * np.sqrt(n * p * (1 - p)) + (1 - 2 * p) * (z**2 - 1) / 6
    drawn[many] = np.floor(quantile + 0.5)
    np.clip(drawn, 0, counts, out=drawn)
    return drawn


@lru_cache(maxsize=2)
def _distributions(fraction: float) -> Doubles:
    """Tabulate n + P(k), P the distribution function of Binomial(n, fraction), k from 0 to n.

    It grows, from 0 + P(0) through 1 + P(0) and 1 + P(1): one search finds n and the quantile.
    """
    return np.concatenate([n + bdtr(np.arange(n + 1), n, fraction) for n in range(_FEW + 1)])

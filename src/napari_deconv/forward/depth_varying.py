"""A PSF that changes with depth, as where specimen and immersion medium do not match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array, Engine, Shape
from napari_deconv.errors import DeconvError

__all__ = ["DepthVarying", "check_depths", "strata_weights"]

Float = npt.NDArray[np.float32]


def check_depths(depths: Sequence[float], count: int) -> tuple[float, ...]:
    """Check that there is one depth for each PSF, and that they increase.

    Raises
    ------
    DeconvError
        If not.
    """
    given = np.asarray(depths)
    if given.dtype.kind not in "iuf" or given.ndim != 1 or not np.isfinite(given).all():
        raise DeconvError(f"depths={depths!r}: expected one number in µm for each PSF.")
    if len(given) != count:
        raise DeconvError(f"There are {count} PSFs and {len(given)} depths: give one for each.")
    if np.any(np.diff(given) <= 0):
        raise DeconvError(
            f"depths={depths!r}: expected numbers that increase, in µm from the image's first "
            "plane towards its last. Sort the PSFs in that order."
        )
    return tuple(float(depth) for depth in given)


def strata_weights(depths: Sequence[float], spacing: float, planes: int, grid_planes: int) -> Float:
    """Compute the weights aᵢ(z) of linear interpolation between the depths of PSFs.

    Parameters
    ----------
    depths : sequence of float
        Where each PSF is valid, in µm from the image's first plane, increasing.
    spacing : float
        From plane to plane, µm.
    planes : int
        Planes of the image, the first ones of the grid.
    grid_planes : int
        Planes of the grid. Half of those beyond the image lie after it, the others, as the grid is
        periodic, before it.

    Returns
    -------
    ndarray of float32
        (n, grid_planes); they add up to 1 in every plane. Beyond the first and the last depth their
        PSFs hold.
    """
    plane = np.arange(grid_planes)
    after = planes + (grid_planes - planes) // 2
    position = np.where(plane < after, plane, plane - grid_planes) * spacing
    weights = [np.interp(position, depths, hat) for hat in np.eye(len(depths))]
    return np.array(weights, np.float32)


class DepthVarying:
    """Hx = Σ hᵢ ⊗ (aᵢ x), Hᵀy = Σ aᵢ·(hᵢ ⋆ y): an object in depth strata.

    (Preza & Conchello, J. Opt. Soc. Am. A 21, 1593, 2004.)

    Light from each depth is spread by the PSFs of the two strata next to it. Grid and image are as
    for `Convolution`, which this is where all PSFs are the same.

    Parameters
    ----------
    engine : Engine
        Where to compute.
    kernels : sequence of ndarray of float32
        hᵢ on the grid (z, y, x), their origin at voxel 0 (see `centred_at_origin`), each of sum 1.
    weights : ndarray of float32
        aᵢ for each plane of the grid, (n, z), not negative, adding up to 1 (see `strata_weights`).
    shape : tuple of int
        Shape of the image, at most that of the grid.
    """

    def __init__(
        self, engine: Engine, kernels: Sequence[Float], weights: Float, shape: Shape
    ) -> None:
        self.engine = engine
        self.grid: Shape = kernels[0].shape
        self.shape = shape
        self.fft = engine.fft(self.grid)
        self._otfs = [self.fft.spectrum(engine.asarray(kernel)) for kernel in kernels]
        self._weights = engine.asarray(weights[np.newaxis])

    def apply(self, estimate: Array, out: Array) -> None:
        """Hx = F⁻¹[Σ OTFᵢ·F(aᵢ x)] into `out`, on the image."""
        self.fft.convolve_strata(estimate, self._otfs, self._weights, out)

    def adjoint(self, light: Array, out: Array) -> None:
        """Hᵀy = Σ aᵢ·F⁻¹[OTFᵢ*·F y] into `out`, on the grid."""
        self.fft.correlate_strata(light, self._otfs, self._weights, out)

"""How images are compared: power spectrum, Fourier shell correlation, residual, projections.

Images are (y, x) or (z, y, x) with voxels in µm, and are never modified.
"""

from __future__ import annotations

from napari_deconv.metrics.projections import orthogonal_projections
from napari_deconv.metrics.residuals import Residual, residual
from napari_deconv.metrics.spectra import (
    PowerSpectrum,
    ShellCorrelation,
    fourier_shell_correlation,
    power_spectrum,
    split_correlation,
)

__all__ = [
    "PowerSpectrum",
    "Residual",
    "ShellCorrelation",
    "fourier_shell_correlation",
    "orthogonal_projections",
    "power_spectrum",
    "residual",
    "split_correlation",
]

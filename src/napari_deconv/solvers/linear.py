"""Linear filters: one step, no iteration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array
from napari_deconv.forward import Convolution

__all__ = ["inverse", "penalized_inverse", "wiener"]


def wiener(model: Convolution, data: Array, weight: float) -> Array:
    """Filter with H*/(|H|² + K) (Wiener 1949).

    Parameters
    ----------
    model : Convolution
        H.
    data : Array
        Recorded image on the model's grid, background subtracted.
    weight : float
        K, the noise-to-signal power ratio. It is taken as 0 at frequency zero, where the signal is
        the whole light, so that the sum is kept.

    Returns
    -------
    Array
        Estimate on the model's grid.
    """
    nz, ny, nx = model.grid
    penalty = np.full((nz, ny, nx // 2 + 1), weight, np.float32)
    penalty[0, 0, 0] = 0
    return penalized_inverse(model, data, penalty)


def penalized_inverse(model: Convolution, data: Array, penalty: npt.NDArray[np.float32]) -> Array:
    """Filter with H*/(|H|² + P), the minimum of |Hx − y|² + Σ P|X|².

    Parameters
    ----------
    model : Convolution
        H.
    data : Array
        Recorded image on the model's grid, background subtracted.
    penalty : ndarray of float32
        P on the grid's half spectrum (z, y, x // 2 + 1), not negative.

    Returns
    -------
    Array
        Estimate on the model's grid.
    """
    restoring = model.engine.copy(model.otf)
    model.engine.wiener(restoring, model.engine.asarray(penalty))
    return _filter(model, data, restoring)


def inverse(model: Convolution, data: Array, epsilon: float) -> Array:
    """Filter with 1/(H + ε), 0 where |H + ε| < ε/2: the toy that shows what noise does.

    Parameters
    ----------
    model : Convolution
        H.
    data : Array
        Recorded image on the model's grid, background subtracted.
    epsilon : float
        ε; no frequency is amplified more than 2/ε times.

    Returns
    -------
    Array
        Estimate on the model's grid.
    """
    restoring = model.engine.copy(model.otf)
    model.engine.inverse(restoring, epsilon)
    return _filter(model, data, restoring)


def _filter(model: Convolution, data: Array, restoring: Array) -> Array:
    out = model.engine.full(model.grid, 0.0)
    model.fft.convolve(data, restoring, out)
    return out

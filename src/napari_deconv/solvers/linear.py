"""Linear filters: one step, no iteration."""

from __future__ import annotations

import numpy as np

from napari_deconv.engines.protocol import Array
from napari_deconv.forward import Convolution

__all__ = ["inverse", "wiener"]


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
    engine, (nz, ny, nx) = model.engine, model.grid
    penalty = np.full((nz, ny, nx // 2 + 1), weight, np.float32)
    penalty[0, 0, 0] = 0
    out = engine.full(model.grid, 0.0)
    model.filter_wiener(data, engine.asarray(penalty), out)
    return out


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
    out = model.engine.full(model.grid, 0.0)
    model.filter_inverse(data, epsilon, out)
    return out

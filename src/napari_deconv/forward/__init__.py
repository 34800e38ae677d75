"""How light becomes data: forward models with an exact adjoint."""

from __future__ import annotations

from napari_deconv.forward.convolution import Convolution, centred_at_origin, fast_shape
from napari_deconv.forward.depth_varying import DepthVarying, check_depths, strata_weights
from napari_deconv.forward.protocol import ForwardModel, Observation

__all__ = [
    "Convolution",
    "DepthVarying",
    "ForwardModel",
    "Observation",
    "centred_at_origin",
    "check_depths",
    "fast_shape",
    "strata_weights",
]

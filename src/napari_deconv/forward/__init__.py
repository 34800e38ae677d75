"""How light becomes data: forward models with an exact adjoint."""

from __future__ import annotations

from napari_deconv.forward.convolution import Convolution, centred_at_origin, fast_shape
from napari_deconv.forward.protocol import ForwardModel, Observation

__all__ = ["Convolution", "ForwardModel", "Observation", "centred_at_origin", "fast_shape"]

"""The front door: check, prepare, pick, iterate, report."""

from __future__ import annotations

from napari_deconv.deconvolution.front_door import (
    convolve,
    deconvolve,
    iterate,
    memory_needed,
)
from napari_deconv.deconvolution.methods import METHODS
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import State
from napari_deconv.deconvolution.settings import BOUNDARIES

__all__ = [
    "BOUNDARIES",
    "METHODS",
    "Deconvolution",
    "State",
    "convolve",
    "deconvolve",
    "iterate",
    "memory_needed",
]

"""Arrays in host memory: SciPy's FFT, and NumPy over slabs that fit the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_deconv.engines.cpu.descent import Descent
from napari_deconv.engines.cpu.fft import CpuFft
from napari_deconv.engines.cpu.filters import Filters
from napari_deconv.engines.cpu.regularizers import Regularizers
from napari_deconv.engines.cpu.slabs import Real
from napari_deconv.engines.cpu.steps import Steps
from napari_deconv.engines.cpu.wavelets import Wavelets
from napari_deconv.engines.limits import cores, require_within_limit
from napari_deconv.engines.protocol import Device, Shape, format_bytes
from napari_deconv.errors import DeviceMemoryError

__all__ = ["CpuEngine"]


class CpuEngine(Steps, Regularizers, Descent, Wavelets, Filters):
    """The engine on the host's processor; arrays are NumPy float32, spectra complex64."""

    def __init__(self) -> None:
        super().__init__()
        memory = psutil.virtual_memory().total
        self.device = Device("cpu", f"{cores()} CPU cores", "CPU", memory, memory)

    def asarray(self, array: npt.NDArray[Any], shape: Shape | None = None) -> Real:
        out = np.zeros(shape or array.shape, np.float32)
        out[tuple(slice(size) for size in array.shape)] = array
        return out

    def to_numpy(self, array: Real, shape: Shape | None = None) -> Real:
        return array[tuple(slice(size) for size in shape or array.shape)].copy()

    def full(self, shape: Shape, value: float) -> Real:
        # Zeros come from the system as they are: nothing is written before it is needed.
        return np.full(shape, value, np.float32) if value else np.zeros(shape, np.float32)

    def copy(self, array: Real) -> Real:
        return array.copy()

    def require(self, nbytes: int, largest: int, purpose: str) -> None:
        require_within_limit(nbytes, purpose)
        available = psutil.virtual_memory().available
        if nbytes > available:
            raise DeviceMemoryError(
                f"{purpose} needs {format_bytes(nbytes)} of memory, {format_bytes(available)} are "
                "free: crop the image or the PSF, or close other programs."
            )

    def fft(self, grid: Shape) -> CpuFft:
        return CpuFft(grid, self)

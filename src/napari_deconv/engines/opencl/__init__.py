"""Arrays on an OpenCL device: pyclesperanto's memory, and our own kernels run raw."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.limits import require_within_limit
from napari_deconv.engines.opencl.descent import Descent
from napari_deconv.engines.opencl.device import device_work, opencl_devices
from napari_deconv.engines.opencl.fft import LibraryFft, PlannedFft
from napari_deconv.engines.opencl.filters import Filters
from napari_deconv.engines.opencl.plan import supports
from napari_deconv.engines.opencl.regularizers import Regularizers
from napari_deconv.engines.opencl.steps import Steps
from napari_deconv.engines.opencl.wavelets import Wavelets
from napari_deconv.engines.protocol import Array, Fft, Shape, format_bytes
from napari_deconv.errors import DeviceMemoryError

__all__ = ["OpenclEngine", "opencl_devices"]


class OpenclEngine(Steps, Regularizers, Descent, Wavelets, Filters):
    """The engine on one OpenCL device; arrays are pyclesperanto float32 buffers."""

    def asarray(self, array: npt.NDArray[np.generic], shape: Shape | None = None) -> Array:
        padded = np.zeros(shape or array.shape, np.float32)
        padded[tuple(slice(size) for size in array.shape)] = array
        return self.push(padded)

    def to_numpy(self, array: Array, shape: Shape | None = None) -> npt.NDArray[np.float32]:
        whole = tuple(array.shape)
        wanted = shape or whole
        with device_work(self.device):
            values = np.asarray(array.get(), np.float32).reshape(whole)
        return np.ascontiguousarray(values[tuple(slice(size) for size in wanted)])

    def full(self, shape: Shape, value: float) -> Array:
        array = self.empty(shape)
        self.launch(
            "elementwise", "fill", array.size, out=array, value=float(value), n=int(array.size)
        )
        return array

    def copy(self, array: Array) -> Array:
        out = self.empty(array.shape)
        self.launch("elementwise", "copy", out.size, source=array, out=out, n=int(out.size))
        return out

    def require(self, nbytes: int, largest: int, purpose: str) -> None:
        require_within_limit(nbytes, purpose)
        way_out = "crop the image or the PSF, or use engine='cpu'."
        memory, limit = self.device.memory, min(self.device.buffer_limit, 4 * (2**31 - 1))
        if nbytes > memory:
            raise DeviceMemoryError(
                f"{purpose} needs {format_bytes(nbytes)}, {self.device.name} has "
                f"{format_bytes(memory)} in all: {way_out}"
            )
        if largest > limit:
            raise DeviceMemoryError(
                f"{purpose} needs arrays of {format_bytes(largest)}, {self.device.name} allows "
                f"{format_bytes(limit)} for one: {way_out}"
            )

    def fft(self, grid: Shape) -> Fft:
        if supports(grid, self.local_bytes):
            return PlannedFft(grid, self)
        return LibraryFft(grid, self)

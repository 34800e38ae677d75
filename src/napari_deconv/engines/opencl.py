"""Arrays on an OpenCL device: pyclesperanto's transforms, and our own kernels run raw."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from napari_deconv.engines.protocol import (
    TV_EPSILON,
    UPDATE_THRESHOLD,
    Array,
    Device,
    Shape,
    format_bytes,
)
from napari_deconv.errors import DeviceError

__all__ = ["OpenclEngine", "opencl_devices"]

# Work on one device from several threads is correct but no faster, and plans are not thread-safe.
_LOCK = threading.RLock()

_PARTIAL_SUMS = 8192


@cache
def _cle() -> Any:
    """Import pyclesperanto late: it costs half a second and may find no driver."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pyclesperanto as cle
        except (ImportError, OSError, RuntimeError):
            return None
    return cle if hasattr(cle, "list_available_devices") else None


@cache
def _handles() -> dict[Device, Any]:
    """Find the OpenCL devices and their handles; the user's own selection is left alone."""
    cle = _cle()
    if cle is None:
        return {}
    try:
        selected = cle.get_device()
        found = [cle.select_device(name) for name in cle.list_available_devices()]
        cle.select_device(selected.name)
    except RuntimeError:
        return {}
    return {_describe(handle): handle for handle in found}


def _describe(handle: Any) -> Device:
    text = str(handle.info)

    def megabytes(label: str) -> int:
        match = re.search(rf"{label}:\s*(\d+)\s*MB", text)
        return int(match[1]) << 20 if match else 0

    kind = re.search(r"Device Type:\s*(\w+)", text)
    memory = megabytes("Global Memory Size")
    limit = megabytes("Maximum Buffer Size") or memory
    return Device("opencl", handle.name, kind[1] if kind else "CPU", memory, limit)


def opencl_devices() -> list[Device]:
    """List the OpenCL devices pyclesperanto finds; empty where there is no driver."""
    with _LOCK:
        return list(_handles())


@contextmanager
def _device_work(device: Device) -> Iterator[None]:
    """Take the device, and say what its failures mean."""
    with _LOCK:
        try:
            yield
        except RuntimeError as error:
            raise DeviceError(_explain(device, str(error))) from error


def _explain(device: Device, message: str) -> str:
    if re.search("alloc|BUFFER_SIZE|OUT_OF_RESOURCES|OUT_OF_HOST_MEMORY|memory", message, re.I):
        return (
            f"{device.name} ran out of memory ({format_bytes(device.memory)} in all): crop the "
            "image or the PSF, close other programs that use the device, or use engine='cpu'."
        )
    reason = " ".join(message.split())[:300]
    return f"{device.name} failed: {reason} Update its OpenCL driver, or use engine='cpu'."


class OpenclEngine:
    """The engine on one OpenCL device; arrays are pyclesperanto float32 buffers.

    A half spectrum is a buffer of interleaved real and imaginary parts, (z, y, 2·(x // 2 + 1)).
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._handle = _handles()[device]

    def _launch(self, file: str, kernel: str, items: int, /, **parameters: Any) -> None:
        """Run a kernel of ``kernels/<file>.cl`` over `items` work items."""
        with _device_work(self.device):
            _cle().native_execute(
                kernel_source=_source(file),
                kernel_name=kernel,
                global_size=(1, 1, items),
                parameters=parameters,
                device=self._handle,
            )

    def _empty(self, shape: Shape) -> Array:
        with _device_work(self.device):
            return _cle().create(shape, np.float32, device=self._handle)

    def _push(self, array: npt.NDArray[Any]) -> Array:
        with _device_work(self.device):
            return _cle().push(np.ascontiguousarray(array), device=self._handle)

    # -- memory ------------------------------------------------------------------------------
    def asarray(self, array: npt.NDArray[Any], shape: Shape | None = None) -> Array:
        padded = np.zeros(shape or array.shape, np.float32)
        padded[tuple(slice(size) for size in array.shape)] = array
        return self._push(padded)

    def to_numpy(self, array: Array, shape: Shape | None = None) -> npt.NDArray[np.float32]:
        whole = tuple(array.shape)
        wanted = shape or whole
        with _device_work(self.device):
            values = np.asarray(array.get(), np.float32).reshape(whole)
        return np.ascontiguousarray(values[tuple(slice(size) for size in wanted)])

    def full(self, shape: Shape, value: float) -> Array:
        array = self._empty(shape)
        self._launch(
            "elementwise", "fill", array.size, out=array, value=float(value), n=int(array.size)
        )
        return array

    def copy(self, array: Array) -> Array:
        out = self._empty(array.shape)
        self._launch("elementwise", "copy", out.size, source=array, out=out, n=int(out.size))
        return out

    def require(self, nbytes: int, largest: int, purpose: str) -> None:
        way_out = "crop the image or the PSF, or use engine='cpu'."
        memory, limit = self.device.memory, min(self.device.buffer_limit, 4 * (2**31 - 1))
        if nbytes > memory:
            raise DeviceError(
                f"{purpose} needs {format_bytes(nbytes)}, {self.device.name} has "
                f"{format_bytes(memory)} in all: {way_out}"
            )
        if largest > limit:
            raise DeviceError(
                f"{purpose} needs arrays of {format_bytes(largest)}, {self.device.name} allows "
                f"{format_bytes(limit)} for one: {way_out}"
            )

    # -- transforms --------------------------------------------------------------------------
    def rfft(self, image: Array) -> Array:
        with _device_work(self.device):
            return _cle().fft.fft(image, device=self._handle)

    def rfft_into(self, image: Array, spectrum: Array) -> None:
        with _device_work(self.device):
            _cle().fft.fft(image, spectrum, device=self._handle)

    def irfft_into(self, spectrum: Array, out: Array) -> None:
        with _device_work(self.device):
            _cle().fft.ifft(spectrum, out, device=self._handle)

    # -- spectra, in place -------------------------------------------------------------------
    def multiply(self, spectrum: Array, otf: Array) -> None:
        n = int(spectrum.size) // 2
        self._launch("spectra", "multiply", n, spectrum=spectrum, otf=otf, n=n)

    def multiply_conjugate(self, spectrum: Array, otf: Array) -> None:
        n = int(spectrum.size) // 2
        self._launch("spectra", "multiply_conjugate", n, spectrum=spectrum, otf=otf, n=n)

    def wiener(self, spectrum: Array, otf: Array, penalty: Array) -> None:
        n = int(spectrum.size) // 2
        self._launch(
            "spectra", "wiener", n, spectrum=spectrum, otf=otf, penalty=penalty,
            penalty_stride=_stride(penalty), n=n,
        )  # fmt: skip

    def inverse(self, spectrum: Array, otf: Array, epsilon: float) -> None:
        n = int(spectrum.size) // 2
        self._launch(
            "spectra", "inverse", n, spectrum=spectrum, otf=otf, epsilon=float(epsilon), n=n
        )

    # -- Richardson–Lucy ---------------------------------------------------------------------
    def ratio(self, model: Array, data: Array, background: Array, floor: float) -> None:
        self._launch(
            "richardson_lucy", "ratio", model.size, model=model, data=data, background=background,
            background_stride=_stride(background), floor_value=float(floor),
            **_sizes("n", model), **_sizes("m", data),
        )  # fmt: skip

    def update(self, correction: Array, estimate: Array, normalization: Array) -> None:
        self._launch(
            "richardson_lucy", "update", correction.size, correction=correction, estimate=estimate,
            normalization=normalization, normalization_stride=_stride(normalization),
            threshold=UPDATE_THRESHOLD, n=int(correction.size),
        )  # fmt: skip

    def extrapolate(
        self, current: Array, previous: Array, step: float, floor: float, out: Array
    ) -> None:
        self._launch(
            "richardson_lucy", "extrapolate", out.size, current=current, previous=previous,
            out=out, alpha=float(step), floor_part=float(floor), n=int(out.size),
        )  # fmt: skip

    def total_variation(
        self,
        estimate: Array,
        spacing: tuple[float, ...],
        weight: float,
        normalization: Array,
        out: Array,
    ) -> None:
        dz, dy, dx = (float(step) for step in spacing)
        self._launch(
            "total_variation", "regularized_normalization", out.size, x=estimate,
            normalization=normalization, normalization_stride=_stride(normalization), out=out,
            dz=dz, dy=dy, dx=dx, weight=float(weight), epsilon=TV_EPSILON,
            threshold=UPDATE_THRESHOLD, **_sizes("n", out),
        )  # fmt: skip

    def subtract(self, first: Array, second: Array, out: Array) -> None:
        self._launch(
            "elementwise", "subtract", out.size, first=first, second=second, out=out,
            n=int(out.size),
        )  # fmt: skip

    # -- reductions ----------------------------------------------------------------------------
    def _reduce(self, kernel: str, items: int, /, **parameters: Any) -> float:
        workers = min(items, _PARTIAL_SUMS)
        partial = self._empty((1, 1, workers))
        self._launch("reductions", kernel, workers, out=partial, workers=workers, **parameters)
        return float(self.to_numpy(partial).sum(dtype=np.float64))

    def sum(self, array: Array) -> float:
        return self._reduce("sum", array.size, array=array, n=int(array.size))

    def dot(self, first: Array, second: Array) -> float:
        return self._reduce(
            "dot_product", first.size, first=first, second=second, n=int(first.size)
        )

    def divergence(
        self, model: Array, data: Array, background: Array, mask: Array, floor: float
    ) -> float:
        return self._reduce(
            "i_divergence", data.size, model=model, data=data, background=background,
            background_stride=_stride(background), mask=mask, mask_stride=_stride(mask),
            floor_value=float(floor), **_sizes("n", model), **_sizes("m", data),
        )  # fmt: skip

    # -- filters -----------------------------------------------------------------------------
    def gaussian(self, image: Array, sigma: tuple[float, ...]) -> Array:
        for axis, width in enumerate(sigma):
            if width <= 0:
                continue
            radius = int(4.0 * width + 0.5)
            offsets = np.arange(-radius, radius + 1)
            weights = np.exp(-0.5 * (offsets / width) ** 2)
            device_weights = self.asarray((weights / weights.sum()).reshape(1, 1, -1))
            out = self._empty(image.shape)
            self._launch(
                "filters", "correlate_axis", out.size, image=image, weights=device_weights,
                out=out, radius=radius, axis=axis, **_sizes("n", out),
            )  # fmt: skip
            image = out
        return image

    def minimum(self, image: Array, size: Shape) -> Array:
        return self._box("minimum_axis", image, size)

    def maximum(self, image: Array, size: Shape) -> Array:
        return self._box("maximum_axis", image, size)

    def _box(self, kernel: str, image: Array, size: Shape) -> Array:
        for axis, length in enumerate(size):
            if length <= 1:
                continue
            out = self._empty(image.shape)
            self._launch(
                "filters", kernel, out.size, image=image, out=out, radius=int(length) // 2,
                axis=axis, **_sizes("n", out),
            )  # fmt: skip
            image = out
        return image

    def rolling_ball(self, image: Array, heights: npt.NDArray[Any]) -> Array:
        inside = np.isfinite(heights)
        apex = heights[tuple(size // 2 for size in heights.shape)]
        offsets = np.argwhere(inside) - np.array(heights.shape) // 2
        out = self._empty(image.shape)
        self._launch(
            "filters", "rolling_ball", out.size, image=image,
            offsets=self._push(offsets.astype(np.int32).reshape(1, -1, 3)),
            drops=self.asarray((apex - heights[inside]).reshape(1, 1, -1)),
            count=len(offsets), out=out, **_sizes("n", out),
        )  # fmt: skip
        return out

    # -- radial tables -------------------------------------------------------------------------
    def expand(self, table: npt.NDArray[Any], weights: scipy.sparse.csr_array) -> Array:
        pixels, radii = weights.shape
        planes = table.shape[0]
        out = self._empty((planes, 1, pixels))
        self._launch(
            "expand", "expand", out.size, table=self.asarray(table[:, np.newaxis, :]),
            starts=self._push(weights.indptr.astype(np.int32).reshape(1, 1, -1)),
            columns=self._push(weights.indices.astype(np.int32).reshape(1, 1, -1)),
            values=self.asarray(weights.data.reshape(1, 1, -1)), out=out,
            radii=int(radii), pixels=int(pixels), n=int(out.size),
        )  # fmt: skip
        return out


@cache
def _source(file: str) -> str:
    return files("napari_deconv.engines").joinpath("kernels", f"{file}.cl").read_text("utf-8")


def _stride(array: Array) -> int:
    """0 makes a kernel read the only element of a one-number array for every voxel."""
    return 0 if array.size == 1 else 1


def _sizes(prefix: str, array: Array) -> dict[str, int]:
    nz, ny, nx = (int(size) for size in array.shape)
    return {f"{prefix}z": nz, f"{prefix}y": ny, f"{prefix}x": nx}

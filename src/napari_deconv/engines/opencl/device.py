"""OpenCL devices through pyclesperanto: found, described, and made to run our own kernels."""

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

from napari_deconv.engines.opencl.plan import LOCAL_BYTES
from napari_deconv.engines.protocol import Array, Device, Shape, format_bytes
from napari_deconv.errors import DeviceError, DeviceMemoryError

__all__ = ["Kernels", "cle", "device_work", "opencl_devices", "sizes", "source", "stride"]

# Work on one device from several threads is correct but no faster, and plans are not thread-safe.
_LOCK = threading.RLock()


@cache
def cle() -> Any:
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
    library = cle()
    if library is None:
        return {}
    try:
        selected = library.get_device()
        found = [library.select_device(name) for name in library.list_available_devices()]
        library.select_device(selected.name)
    except RuntimeError:
        return {}
    return {_describe(handle): handle for handle in found}


def _describe(handle: Any) -> Device:
    kind = re.search(r"Device Type:\s*(\w+)", str(handle.info))
    memory = _size(handle, "Global Memory Size")
    limit = _size(handle, "Maximum Buffer Size") or memory
    return Device("opencl", handle.name, kind[1] if kind else "CPU", memory, limit)


def _size(handle: Any, label: str) -> int:
    """Read a number of bytes from what the driver says of a device; 0 if it does not say."""
    match = re.search(rf"{label}:\s*(\d+)\s*([KM])B", str(handle.info))
    return int(match[1]) << {"K": 10, "M": 20}[match[2]] if match else 0


def opencl_devices() -> list[Device]:
    """List the OpenCL devices pyclesperanto finds; empty where there is no driver."""
    with _LOCK:
        return list(_handles())


@contextmanager
def device_work(device: Device) -> Iterator[None]:
    """Take the device, and say what its failures mean."""
    with _LOCK:
        try:
            yield
        except RuntimeError as error:
            raise _failure(device, str(error)) from error


def _failure(device: Device, message: str) -> DeviceError:
    if re.search("alloc|BUFFER_SIZE|OUT_OF_RESOURCES|OUT_OF_HOST_MEMORY|memory", message, re.I):
        return DeviceMemoryError(
            f"{device.name} ran out of memory ({format_bytes(device.memory)} in all): crop the "
            "image or the PSF, close other programs that use the device, or use engine='cpu'."
        )
    reason = " ".join(message.split())[:300]
    return DeviceError(
        f"{device.name} failed: {reason} Update its OpenCL driver, or use engine='cpu'."
    )


class Kernels:
    """One OpenCL device and the kernels of this package on it.

    Arrays are pyclesperanto float32 buffers; a half spectrum is one of interleaved real and
    imaginary parts, (z, y, 2·(x // 2 + 1)).
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.handle = _handles()[device]
        local = _size(self.handle, "Local Memory Size")
        self.local_bytes = min(local or LOCAL_BYTES, LOCAL_BYTES)

    def launch(self, file: str, kernel: str, items: int, /, **parameters: Any) -> None:
        """Run a kernel of ``kernels/<file>.cl`` over `items` work items.

        The order of the parameters is that of the kernel's signature.
        """
        self._execute(_source(file), kernel, (1, 1, items), (0, 0, 0), parameters)

    def launch_groups(
        self, source: str, kernel: str, items: Shape, group: Shape, /, **parameters: Any
    ) -> None:
        """Run a kernel over work items (z, y, x), a multiple of the work group's shape."""
        self._execute(source, kernel, items, group, parameters)

    def _execute(
        self, source: str, kernel: str, items: Shape, group: Shape, parameters: dict[str, Any]
    ) -> None:
        with device_work(self.device):
            cle().native_execute(
                kernel_source=source,
                kernel_name=kernel,
                global_size=items,
                local_size=group,
                parameters=parameters,
                device=self.handle,
            )

    def empty(self, shape: Shape) -> Array:
        """Make an array of any content."""
        with device_work(self.device):
            return cle().create(shape, np.float32, device=self.handle)

    def push(self, array: npt.NDArray[Any]) -> Array:
        """Copy an array of any dtype to the device."""
        with device_work(self.device):
            return cle().push(np.ascontiguousarray(array), device=self.handle)


@cache
def _source(file: str) -> str:
    return (
        files("napari_deconv.engines.opencl").joinpath("kernels", f"{file}.cl").read_text("utf-8")
    )


@cache
def source(*files: str, **defines: int | str) -> str:
    """Join ``kernels/<file>.cl`` of `files` to one program, with macros defined in front."""
    lines = [f"#define {name} {value}\n" for name, value in defines.items()]
    return "".join([*lines, *map(_source, files)])


def stride(array: Array) -> int:
    """0 makes a kernel read the only element of a one-number array for every voxel."""
    return 0 if array.size == 1 else 1


def sizes(prefix: str, array: Array) -> dict[str, int]:
    """Name the three sizes of an array for a kernel."""
    nz, ny, nx = (int(size) for size in array.shape)
    return {f"{prefix}z": nz, f"{prefix}y": ny, f"{prefix}x": nx}

"""Where arrays live: one protocol, a CPU engine and an OpenCL engine."""

from __future__ import annotations

from functools import cache

from napari_deconv.engines.cpu import CpuEngine
from napari_deconv.engines.limits import set_limits
from napari_deconv.engines.opencl import OpenclEngine, opencl_devices
from napari_deconv.engines.protocol import Array, Device, Engine, Fft
from napari_deconv.errors import DeviceError

__all__ = ["Array", "Device", "Engine", "Fft", "get_engine", "list_devices", "set_limits"]


def list_devices() -> list[Device]:
    """List the devices there are, the CPU engine last; the first GPU is what ``"auto"`` takes.

    Returns
    -------
    list of Device
        Each with its name, kind and memory; `Device.key` is what to pass as ``engine=``.
    """
    return [*opencl_devices(), _cpu().device]


def get_engine(spec: str | Engine = "auto") -> Engine:
    """Get the engine for a name.

    Parameters
    ----------
    spec : str or Engine
        ``"auto"`` (the first OpenCL GPU if there is one, else the CPU engine), ``"cpu"``,
        ``"opencl"`` (the first OpenCL GPU, else the first OpenCL device) or ``"opencl:<name>"``
        (a device whose name contains `name`, whatever the case). An engine is returned as it is.

    Returns
    -------
    Engine
        The same one for the same device every time.

    Raises
    ------
    DeviceError
        If there is no such device; the message lists those there are.
    """
    if not isinstance(spec, str) and hasattr(spec, "to_numpy"):
        return spec
    spec = str(spec)
    if spec == "cpu":
        return _cpu()
    devices = sorted(opencl_devices(), key=lambda device: device.kind != "GPU")
    if spec == "auto":
        gpu = bool(devices) and devices[0].kind == "GPU"
        return _opencl(devices[0]) if gpu else _cpu()
    family, _, name = spec.partition(":")
    if family != "opencl":
        raise DeviceError(
            f"engine={spec!r} is not known: choose 'auto', 'cpu', 'opencl' or 'opencl:<name>'."
        )
    matching = [device for device in devices if name.lower() in device.name.lower()]
    if not matching:
        found = ", ".join(repr(device.name) for device in devices) or "none"
        raise DeviceError(
            f"No OpenCL device for engine={spec!r}; found: {found}. Name one of these, install "
            "the OpenCL driver of the graphics card, or use engine='auto': a GPU if one is found, "
            "else the CPU."
        )
    return _opencl(matching[0])


@cache
def _cpu() -> Engine:
    return CpuEngine()


@cache
def _opencl(device: Device) -> Engine:
    return OpenclEngine(device)

"""What the benchmark ran on; no names that tell whose machine it is."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.contenders import CONTENDERS
from benchmarks.scipy_loop import cores
from napari_deconv import list_devices

__all__ = ["describe_machine", "versions"]


def describe_machine() -> dict[str, str]:
    """Describe processor, memory, devices and Python."""
    devices = [f"{d.name} ({d.kind})" for d in list_devices() if d.engine == "opencl"]
    return {
        "Processor": f"{_processor()}, {cores()} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "OpenCL": ", ".join(devices) or "none",
        "Load before the run": f"{psutil.getloadavg()[0]:.1f} of {cores()}",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [line.partition(":") for line in information.read_text().splitlines()]
        names = [value.strip() for key, _, value in lines if key.strip() == "model name"]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Tell the version of each package that takes part, "" where it is not installed."""
    found = {}
    for package in ("numpy", *dict.fromkeys(c.package for c in CONTENDERS)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found

"""An iteration on a GPU beside what its memory allows, and beside the CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.iteration import Shape, our_blocks
from benchmarks.specimen import widefield_psf
from napari_deconv import get_engine, list_devices
from napari_deconv.engines import Device, Engine

__all__ = ["BYTES", "GPU_SHAPES", "GpuStep", "gpus", "measure_device"]

GPU_SHAPES = [(64, 512, 512), (256, 256, 256)]
_PSF = (63, 63, 63)

BYTES = {
    "four transforms": 4 * 3 * 8,
    "OTF, twice": 2 * 4,
    "ratio": 12,
    "update with momentum": 24,
}
"""Bytes that an iteration moves per voxel of the grid if nothing is read or written twice.

A transform reads and writes its array once for each axis, the OTF is read on the way; the ratio
reads model and data and writes one; the update reads correction, guess, divisor and last estimate
and writes estimate and guess.
"""


@dataclass
class GpuStep:
    """Seconds per iteration on a device, on the CPU, and at the device's bandwidth."""

    device: str
    shape: Shape
    gpu: float
    cpu: float
    bound: float


def gpus() -> list[Device]:
    """List the GPUs there are."""
    return [device for device in list_devices() if device.kind == "GPU"]


def measure_device(device: Device, shape: Shape, psf_shape: Shape = _PSF) -> GpuStep:
    """Time iterations on a device and on all cores of its host."""
    psf = widefield_psf(psf_shape)
    gpu = median(our_blocks(shape, psf, device.key, 3))
    cpu = median(our_blocks(shape, psf, "cpu", 1))
    voxels = float(np.prod([n + m - 1 for n, m in zip(shape, psf_shape, strict=True)]))
    bound = voxels * sum(BYTES.values()) / bandwidth(get_engine(device.key))
    return GpuStep(device.name, shape, gpu, cpu, bound)


def bandwidth(engine: Engine, voxels: int = 1 << 25, repetitions: int = 20) -> float:
    """Measure bytes per second of a kernel that reads two arrays and writes one."""
    shape = (1, 1, voxels)
    first, second, out = (engine.full(shape, 1.0) for _ in range(3))

    def run(number: int) -> float:
        begun = time.perf_counter()
        for _ in range(number):
            engine.combine(first, 1.0, second, 1.0, out)
        engine.sum(engine.full((1, 1, 1), 0.0))  # waits for all before it
        return time.perf_counter() - begun

    run(1)
    return repetitions * 12 * voxels / (run(repetitions + 1) - run(1))

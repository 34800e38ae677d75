"""Who takes part: our solvers, and other software behind one signature.

An adapter takes (image, psf, background, iterations), arrays (z, y, x) of float32, the PSF's point
at voxel n // 2 and of sum 1, and gives the estimate in the image's shape. Other software is
imported when its adapter is called: it is installed for the benchmark only.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.scipy_loop import cores, scipy_loop
from napari_deconv import deconvolve

__all__ = ["CONTENDERS", "REFERENCE", "Contender"]

Float = npt.NDArray[np.float32]
Adapter = Callable[[Float, Float, float, int], Float]


@dataclass(frozen=True)
class Contender:
    """One program, or one way to use it.

    Attributes
    ----------
    name : str
        What the table calls it.
    adapter : callable
        (image, psf, background, iterations) → estimate.
    package : str
        The package that does the work, as the package index calls it.
    background : bool
        Whether the background is part of its model; it is subtracted before where it is not.
    """

    name: str
    adapter: Adapter
    package: str
    background: bool


def ours(image: Float, psf: Float, background: float, iterations: int, **options: Any) -> Float:
    """Run napari-deconv."""
    return deconvolve(image, psf, background=background, iterations=iterations, **options).image


def loop(image: Float, psf: Float, background: float, iterations: int, **options: Any) -> Float:
    """Run the SciPy loop."""
    states = scipy_loop(image, psf, background, **options)
    return next(islice(states, iterations - 1, None))


def scikit_image(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run `skimage.restoration.richardson_lucy`."""
    from skimage.restoration import richardson_lucy

    signal = _without(image, background)
    estimate: Float = richardson_lucy(signal, psf, iterations, clip=False, filter_epsilon=1e-6)
    return estimate


def simple_itk(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run ITK's Richardson–Lucy filter."""
    import SimpleITK as itk

    itk.ProcessObject.SetGlobalDefaultNumberOfThreads(cores())
    signal = itk.GetImageFromArray(_without(image, background))
    estimate = itk.RichardsonLucyDeconvolution(signal, itk.GetImageFromArray(psf), iterations)
    array: Float = itk.GetArrayFromImage(estimate)
    return array


def diplib(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run DIPlib's Richardson–Lucy."""
    import diplib as dip

    signal = dip.Image(_without(image, background))
    estimate = dip.RichardsonLucy(signal, dip.Image(psf), nIterations=iterations)
    return np.asarray(estimate)


def red_lionfish(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run RedLionfish on the CPU."""
    from RedLionfishDeconv import doRLDeconvolutionFromNpArrays

    signal = _without(image, background)
    estimate = doRLDeconvolutionFromNpArrays(signal, psf, niter=iterations, method="cpu")
    # It pads an odd x to an even one and does not take it back.
    return np.asarray(estimate)[tuple(slice(n) for n in image.shape)]


def clij2_fft(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run clij2-fft's non-circulant Richardson–Lucy."""
    # Its libraries lie in the environment's lib folder, where the loader does not look.
    for library in ("libclFFT.so.2", "libclij2fft.so"):
        ctypes.CDLL(str(Path(sys.prefix, "lib", library)), mode=ctypes.RTLD_GLOBAL)
    from clij2fft.libs import getlib
    from clij2fft.richardson_lucy import richardson_lucy_nc

    signal = _without(image, background)
    estimate: Float = richardson_lucy_nc(signal, psf, iterations, lib=getlib())
    return estimate


def pyclesperanto(image: Float, psf: Float, background: float, iterations: int) -> Float:
    """Run pyclesperanto's `fft.deconvolve`, which refuses a PSF larger than the image."""
    import pyclesperanto as cle

    signal = cle.push(_without(image, background))
    kernel = cle.push(_cropped(psf, image.shape))
    estimate: Float = cle.fft.deconvolve(signal, kernel, iteration=iterations).get()
    return estimate


def _without(image: Float, background: float) -> Float:
    return np.asarray(np.maximum(image - np.float32(background), 0))


def _cropped(psf: Float, shape: tuple[int, ...]) -> Float:
    """Crop a PSF to at most `shape`, its point still at voxel n // 2, its sum 1."""
    sizes = [min(n, size - 1 + size % 2) for n, size in zip(psf.shape, shape, strict=True)]
    starts = [n // 2 - m // 2 for n, m in zip(psf.shape, sizes, strict=True)]
    part: Float = psf[tuple(slice(a, a + m) for a, m in zip(starts, sizes, strict=True))]
    return np.ascontiguousarray(part / part.sum())


def _ours(name: str, **options: Any) -> Contender:
    return Contender(f"napari-deconv, {name}", partial(ours, **options), "napari-deconv", True)


def _loop(name: str, **options: Any) -> Contender:
    return Contender(f"SciPy loop, {name}", partial(loop, **options), "scipy", True)


REFERENCE = _loop("heavy ball, half padding", padding=0.5, heavy_ball=True)
"""Stands for deconwolf: its method, its padding."""

CONTENDERS = [
    _ours("coarse to fine", engine="cpu", levels="auto"),
    _ours("coarse to fine, half padding", engine="cpu", levels="auto", boundary="half_padded"),
    _ours("heavy ball", engine="cpu", levels=1),
    _ours("Biggs–Andrews", engine="cpu", levels=1, acceleration="biggs"),
    _ours("plain", engine="cpu", levels=1, acceleration=None),
    _ours("heavy ball, OpenCL", engine="opencl", levels=1),
    REFERENCE,
    _loop("heavy ball, full padding", padding=1, heavy_ball=True),
    Contender("scikit-image", scikit_image, "scikit-image", False),
    Contender("RedLionfish, CPU", red_lionfish, "RedLionfish", False),
    Contender("pyclesperanto, OpenCL", pyclesperanto, "pyclesperanto", False),
    Contender("clij2-fft, OpenCL", clij2_fft, "clij2-fft", False),
    Contender("DIPlib", diplib, "diplib", False),
    Contender("SimpleITK", simple_itk, "SimpleITK", False),
]

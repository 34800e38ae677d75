"""What is measured on two images, in a thread, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.background import estimate_background
from napari_deconv.deconvolution.job import check_mask
from napari_deconv.errors import DeconvError
from napari_deconv.gain import CameraGain, estimate_gain
from napari_deconv.metrics import (
    PowerSpectrum,
    Residual,
    ShellCorrelation,
    fourier_shell_correlation,
    orthogonal_projections,
    power_spectrum,
    residual,
    split_correlation,
)
from napari_deconv.solvers.thinning import split_photons
from napari_deconv.widgets.common.parts import read_psf
from napari_deconv.widgets.common.plot import Curve
from napari_deconv.widgets.compare.world import volume

if TYPE_CHECKING:
    from napari_deconv._progress import Callback
    from napari_deconv.widgets.common.parts import Part

__all__ = [
    "Correlated",
    "Unexplained",
    "correlate_halves",
    "correlate_pair",
    "correlation_curves",
    "halves",
    "project",
    "residual_line",
    "resolution_line",
    "spectra",
    "spectrum_curves",
    "unexplained",
]

_DIRECTIONS = {"lateral": "", "axial": " z"}

# What is left of simulated cells after 40 iterations correlates by 0.06 with their own PSF, by
# 0.16 with one 30 % wider, by 0.4 with that of 10 µm of depth.
_STRUCTURE = 0.1
_NOISE_SPREAD = (0.85, 1.15)


@dataclass(frozen=True)
class Correlated:
    """A correlation, and what was correlated."""

    title: str
    shells: Mapping[str, ShellCorrelation]
    note: str


@dataclass(frozen=True)
class Unexplained:
    """A residual, and what of the camera was taken for it."""

    residual: Residual
    background: Any
    camera: CameraGain
    notes: Sequence[str]


def spectra(
    images: Sequence[tuple[str, Part, Sequence[float]]], *, callback: Callback
) -> list[tuple[str, Mapping[str, PowerSpectrum]]]:
    """Make the power spectra of named images, each with its voxel size."""
    return [(name, power_spectrum(volume(part), voxel)) for name, part, voxel in images]


def spectrum_curves(found: Sequence[tuple[str, Mapping[str, PowerSpectrum]]]) -> list[Curve]:
    """Draw power relative to the lowest frequency: images have other grey values each."""
    return [
        Curve(name + _DIRECTIONS[direction], spectrum.frequency, spectrum.power / start)
        for name, both in found
        for direction, spectrum in both.items()
        if (start := float(both["lateral"].power[0])) > 0
    ]


def correlate_halves(
    name: str, part: Part, voxel: Sequence[float], known: Mapping[str, float], *, callback: Callback
) -> Correlated:
    """Correlate the halves of an image's photons; see `_camera` for what is known."""
    image = volume(part)
    camera = _camera(image, known)
    shells = split_correlation(image, voxel, gain=camera.gain, offset=camera.offset)
    note = f"The photons of “{name}”, split in two ({camera.gain:.3g} grey values a photon)."
    return Correlated("halves", shells, note)


def halves(
    part: Part, known: Mapping[str, float], *, callback: Callback
) -> tuple[tuple[Any, Any], CameraGain]:
    """Split the photons of an image in two of the same brightness; gives the camera, too."""
    image = volume(part)
    camera = _camera(image, known)
    return split_photons(image, 0.5, gain=camera.gain, offset=camera.offset), camera


def correlate_pair(
    names: Sequence[str], first: Part, second: Part, voxel: Sequence[float], *, callback: Callback
) -> Correlated:
    """Correlate two images."""
    shells = fourier_shell_correlation(volume(first), volume(second), voxel)
    note = (
        f"“{names[0]}” with “{names[1]}”: a resolution only if their noise is independent, as of "
        "two recordings, or of two halves deconvolved apart."
    )
    return Correlated("pair", shells, note)


def correlation_curves(found: Correlated) -> list[Curve]:
    """Draw correlations with both thresholds."""
    curves = []
    for direction, shells in found.shells.items():
        resolution = shells.resolution()
        mark = 1 / resolution if 0 < resolution < np.inf else None
        curves.append(Curve(direction, shells.frequency, shells.correlation, mark))
    shells = found.shells["lateral"]
    curves.append(
        Curve("1/7", shells.frequency, np.full_like(shells.frequency, 1 / 7), dashed=True)
    )
    curves.append(Curve("½ bit", shells.frequency, np.minimum(shells.half_bit, 1), dashed=True))
    return curves


def resolution_line(found: Correlated) -> str:
    """Say the resolution in each direction."""
    parts = []
    for direction, shells in found.shells.items():
        one_seventh = _micrometres(shells.resolution(), shells)
        half_bit = _micrometres(shells.resolution(shells.half_bit), shells)
        parts.append(f"{direction} {one_seventh} (half bit: {half_bit})")
    return f"Resolution (1/7): {', '.join(parts)}. {found.note}"


def _micrometres(resolution: float, shells: ShellCorrelation) -> str:
    if resolution == 0:
        return f"below {1 / shells.frequency[-1]:.3g} µm, two voxels"
    return "none" if np.isinf(resolution) else f"{resolution:.3g} µm"


def project(
    images: Sequence[tuple[str, Part, Sequence[float]]], *, callback: Callback
) -> list[tuple[Any, float]]:
    """Make the projections of several volumes."""
    return [orthogonal_projections(volume(part), voxel) for _, part, voxel in images]


def unexplained(
    part: Part,
    result: Part,
    psf: Part,
    voxels: tuple[Sequence[float], Sequence[float] | None],
    known: Mapping[str, float],
    *,
    left_out: Part | None,
    own_psf: bool,
    centre_psf: bool,
    device: str,
    callback: Callback,
) -> Unexplained:
    """Make the residual of a result.

    Parameters
    ----------
    part, result, psf : Part
        What `residual` takes.
    voxels : tuple
        Voxel size of the image and of the PSF, None for that of the image.
    known : mapping
        ``"background"``, ``"gain"`` and ``"offset"`` where they are; else they are estimated.
    left_out : Part or None
        Labels painted over what does not count.
    own_psf : bool
        Whether the PSF was made here; another one is repaired.
    centre_psf : bool
        Whether the result was made with the PSF centred.
    device : str
        Where it is computed.
    callback : callable
        Called after every iteration.
    """
    image, (own, its) = volume(part), voxels
    mask = None if left_out is None else check_mask(volume(left_out) == 0, image.shape)
    light = image if mask is None else np.where(mask, image, image[mask].max())
    background, notes = known.get("background"), []
    if background is None:
        background = estimate_background(light)
        notes.append(f"background {background:.4g} estimated, the 1st percentile")
    camera = _camera(light, known)
    if "gain" not in known:
        notes.append(f"gain {camera.gain:.3g} estimated")
    left = residual(
        image,
        volume(result),
        read_psf(psf, (own if its is None else its)[-psf.ndim :], own_psf),
        spacing=own,
        background=background,
        gain=camera.gain,
        offset=camera.offset,
        mask=mask,
        centre_psf=centre_psf,
        engine=device,
        callback=callback,
    )
    return Unexplained(left, background, camera, notes)


def _camera(image: Any, known: Mapping[str, float]) -> CameraGain:
    """Take gain and offset where they are known, and estimate the rest.

    Where the offset of a known gain cannot be estimated it is 0, or the darkest voxel below that.
    """
    if "gain" in known and "offset" in known:
        return CameraGain(known["gain"], known["offset"], 0.0)
    try:
        estimated = estimate_gain(image, offset=known.get("offset"))
    except DeconvError:
        if "gain" not in known:
            raise
        return CameraGain(known["gain"], min(0.0, float(image.min())), 0.0)
    return replace(estimated, gain=known.get("gain", estimated.gain))


def residual_line(found: Unexplained) -> str:
    """Say how to read a residual."""
    left = found.residual
    low, high = _NOISE_SPREAD
    if left.correlation >= _STRUCTURE:
        verdict = (
            "Structure is left, light that the model does not explain: too few iterations, a wrong "
            "PSF or a wrong background."
        )
    elif left.spread > high:
        verdict = "It is even, but more than noise: the gain may be higher, or the offset lower."
    elif left.spread < low:
        verdict = "It is less than noise: noise was fitted, or the gain is lower."
    else:
        verdict = (
            "Little more than noise is left: the result explains the image. So may one with a PSF "
            "that is too narrow."
        )
    notes = f" ({'; '.join(found.notes)})" if found.notes else ""
    return (
        f"Spread {left.spread:.2f} σ (noise: 1), {100 * left.beyond:.2g} % of the voxels beyond "
        f"±3 σ (0.27 %), neighbours correlate {left.correlation:.2f} (0){notes}. {verdict}"
    )

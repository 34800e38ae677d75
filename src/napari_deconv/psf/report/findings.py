"""What is wrong with a point-spread function, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from napari_deconv.psf.measure import PsfReport, outside_core
from napari_deconv.psf.psf import Psf

if TYPE_CHECKING:
    from napari_deconv.beads.statistics import BeadStatistics

__all__ = ["find"]

# Widths so many times apart are no aberration.
_FAR = 2.0

# Fewer voxels per FWHM than this are no longer enough to tell its shape.
_VOXELS = 2.0

# µm/µm: 6°.
_TILT = 0.1

# Goodness of fit along z, y and x that beads need, too.
_R_SQUARED = (0.8, 0.9, 0.9)

# From so many beads on a standard deviation means something.
_FEW_BEADS = 5

# Of the highest peak.
_SECOND_PEAK = 0.5

# Times the noise.
_RESIDUAL = 1.5


def find(
    psf: Psf,
    measured: PsfReport,
    *,
    statistics: BeadStatistics | None,
    theory: Psf | None,
    expected: PsfReport | None,
    earlier: Mapping[str, Any] | None,
    tolerance: float,
) -> tuple[str, ...]:
    """Point out what is out of tolerance, and what may be the cause.

    Parameters
    ----------
    psf : Psf
        The PSF.
    measured : PsfReport
        Its measures.
    statistics : BeadStatistics or None
        The beads that it is from.
    theory : Psf or None
        The theoretical PSF.
    expected : PsfReport or None
        Its measures.
    earlier : mapping or None
        The earlier report, with ``"fwhm"`` and ``"written"``.
    tolerance : float
        Relative difference that is allowed.

    Returns
    -------
    tuple of str
        A sentence each, the gravest first; empty if all is well.
    """
    findings = list(_about_peaks(psf, measured))
    if expected is not None:
        findings += _against_theory(measured, expected, tolerance)
    if theory is not None and expected is not None:
        if _same_window(psf, theory):
            findings += _stray_light(measured, expected, tolerance)
        findings += _about_sampling(psf, theory.metadata.get("nyquist_step"))
    findings += _about_shape(psf, measured, tolerance)
    if earlier is not None:
        findings += _against_earlier(measured, earlier, tolerance)
    if statistics is not None:
        findings += _about_beads(statistics, tolerance)
    return tuple(findings)


def _about_peaks(psf: Psf, measured: PsfReport) -> Iterator[str]:
    """See whether it is one point."""
    outside = outside_core(psf, measured.centre, measured.fwhm)
    if psf.data.max(where=outside, initial=0) > _SECOND_PEAK * psf.data.max():
        yield (
            "There is a second peak, more than half as high: one point makes one peak. Distil the "
            "PSF if this is an image of beads; else crop it."
        )


def _against_theory(measured: PsfReport, expected: PsfReport, tolerance: float) -> Iterator[str]:
    """Compare the widths."""
    ratios = [width / ideal for width, ideal in zip(measured.fwhm, expected.fwhm, strict=True)]
    axes = "zyx"[-len(ratios) :]
    if max(ratios) > _FAR or min(ratios) < 1 / _FAR:
        far = ", ".join(f"{axis} {ratio:.2g} ×" for axis, ratio in zip(axes, ratios, strict=True))
        yield (
            f"The FWHM is far from theory ({far}): check the voxel size, the wavelength and the "
            "numerical aperture."
        )
        return
    for axis, ratio in zip(axes, ratios, strict=True):
        if ratio < 1 - tolerance:
            yield (
                f"FWHM {axis} is {1 - ratio:.0%} below theory, which no lens is: wrong voxel size, "
                "wavelength or numerical aperture?"
            )
        elif ratio > 1 + tolerance:
            cause = (
                "spherical aberration or wrong index?"
                if axis == "z"
                else "large beads, a pupil that is not filled, or aberrations?"
            )
            yield f"FWHM {axis} is {ratio - 1:.0%} above theory: {cause}"


def _same_window(one: Psf, other: Psf) -> bool:
    """Tell whether two PSFs show as much of what surrounds the centre."""
    return one.shape == other.shape and math.dist(one.spacing, other.spacing) < 1e-3 * min(
        one.spacing
    )


def _stray_light(measured: PsfReport, expected: PsfReport, tolerance: float) -> Iterator[str]:
    """Compare how much light lies far from the centre."""
    if measured.flux_outside > expected.flux_outside + tolerance:
        yield (
            f"{measured.flux_outside:.0%} of the light lies outside of 3 FWHM, in theory "
            f"{expected.flux_outside:.0%}: stray light, or background left in the PSF?"
        )


def _about_sampling(psf: Psf, nyquist: list[float] | None) -> Iterator[str]:
    """Compare the voxels with the Nyquist step of the theory's optics."""
    largest = (nyquist or psf.spacing)[-psf.ndim :]
    if any(step > most * (1 + 1e-3) for step, most in zip(psf.spacing, largest, strict=True)):
        voxels, needed = (
            " × ".join(f"{step:.3g}" for step in steps) for steps in (psf.spacing, largest)
        )
        yield (
            f"The voxels are {voxels} µm; these optics resolve details that need {needed} µm or "
            "smaller."
        )


def _about_shape(psf: Psf, measured: PsfReport, tolerance: float) -> Iterator[str]:
    """Look at sampling, roundness, tilt and the quality of the fits."""
    axes = "zyx"[-psf.ndim :]
    for axis, width, step in zip(axes, measured.fwhm, psf.spacing, strict=True):
        if width < _VOXELS * step:
            yield (
                f"FWHM {axis} is {width / step:.1f} voxels: too few to tell the shape. Record with "
                "smaller voxels."
            )
    if abs(measured.asymmetry) > tolerance:
        wide, narrow = "xy" if measured.asymmetry > 0 else "yx"
        more = max(measured.asymmetry, 1 / (1 + measured.asymmetry) - 1)
        yield f"{wide} is {more:.0%} wider than {narrow}: astigmatism, or drift of the stage?"
    slope = math.hypot(*measured.tilt)
    if slope > _TILT:
        angle = math.degrees(math.atan(slope))
        yield f"The axis is tilted by {angle:.0f}°: a tilted cover slip, coma, or misalignment?"
    limits = _R_SQUARED[-psf.ndim :]
    for axis, quality, limit in zip(axes, measured.r_squared, limits, strict=True):
        if quality < limit:
            yield (
                f"A Gaussian explains the profile along {axis} badly (R² {quality:.2f}): rely on "
                "the width at half maximum, and look at the profile."
            )


def _against_earlier(
    measured: PsfReport, earlier: Mapping[str, Any], tolerance: float
) -> Iterator[str]:
    """Compare the widths with those of an earlier report."""
    axes = "zyx"[-len(measured.fwhm) :]
    for axis, now, then in zip(axes, measured.fwhm, earlier["fwhm"], strict=True):
        change = now / then - 1
        if abs(change) > tolerance:
            moved = "grown" if change > 0 else "shrunk"
            yield f"FWHM {axis} has {moved} by {abs(change):.0%} since {earlier['written']}."


def _about_beads(statistics: BeadStatistics, tolerance: float) -> Iterator[str]:
    """Look at how many beads there are, how alike, and what they leave unexplained."""
    used = statistics.counts["accepted"]
    if used < _FEW_BEADS:
        yield f"Only {used} bead{'s' if used > 1 else ''}: record more to know how far they vary."
    axes = "zyx"[-len(statistics.fwhm_mean) :]
    for axis, mean, sd in zip(axes, statistics.fwhm_mean, statistics.fwhm_sd, strict=True):
        if sd > tolerance * mean:
            yield (
                f"FWHM {axis} varies by {sd / mean:.0%} from bead to bead: dim beads, clumps, or a "
                "PSF that changes over the field?"
            )
    if statistics.residual_rms > _RESIDUAL:
        yield (
            f"The beads differ from the PSF by {statistics.residual_rms:.1f} times the noise: it "
            "changes over the field, or the beads are not alike."
        )

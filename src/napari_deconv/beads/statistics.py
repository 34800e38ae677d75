"""How well a PSF explains the beads it came from, and how the beads vary over the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_background, check_image, check_number
from napari_deconv._noise import grey_step, noise_level
from napari_deconv.beads.fitting import fit_light
from napari_deconv.beads.measure import BOX, box_around
from napari_deconv.beads.rendering import Template
from napari_deconv.beads.table import Beads
from napari_deconv.errors import DeconvError
from napari_deconv.gain import estimate_gain

if TYPE_CHECKING:
    from napari_deconv.psf.psf import Psf

__all__ = ["BeadStatistics", "FieldMap", "bead_statistics"]

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_CELLS = 16  # of a field map along its longer side
_KERNEL = 0.15  # σ of the map's smoothing, of the field's longer side
_UNIFORM = 1 / 12  # variance of rounding, in grey steps


@dataclass(frozen=True, eq=False)
class FieldMap:
    """The beads' FWHM over the field of view.

    Attributes
    ----------
    y, x : ndarray
        Places in µm from the first voxel's centre, along each axis.
    fwhm : ndarray (axes, y, x)
        FWHM (z, y, x) or (y, x) in µm: the mean of the accepted beads with Gaussian weights, σ
        `smoothing`. Where there are no beads, it follows the nearest ones.
    smoothing : float
        In µm.
    """

    y: Doubles
    x: Doubles
    fwhm: Doubles
    smoothing: float

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, arrays as lists."""
        return {
            "y": self.y.tolist(), "x": self.x.tolist(), "fwhm": self.fwhm.tolist(),
            "smoothing": self.smoothing,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class BeadStatistics:
    """What `bead_statistics` found; per-bead arrays are in the order of the `Beads`.

    Attributes
    ----------
    spacing : tuple of float
        Voxel size in µm.
    counts : dict
        How many beads have each status, those accepted first.
    status : ndarray of str (n,)
        ``"accepted"`` or the rule that the bead did not pass.
    positions : ndarray (n, axes)
        In voxels.
    flux : ndarray (n,)
        All light of the bead that the PSF's window holds, in grey values.
    snr : ndarray (n,)
        Height of the bead over the noise of its brightest voxel.
    fwhm : ndarray (n, axes)
        Of Gaussian fits to the bead's axis profiles, µm; 0 where there was nothing to fit.
    r_squared : ndarray (n, axes)
        R² of these fits.
    residual : ndarray (n,)
        Root mean square of (image − Hp − b)/σ within 1.5 FWHM of the bead: 1 is noise alone.
    fwhm_mean, fwhm_sd, fwhm_median : tuple of float
        Of the accepted beads, µm; the standard deviation of one bead is 0.
    background_mean : float
        Mean of b, in grey values.
    gain : float or None
        Grey values a photon, if the image's noise says; σ² = noise of b + gain·Hp.
    residual_image : ndarray of float32
        (image − Hp − b)/σ in the image's shape; rejected beads are in Hp as single beads.
    residual_rms : float
        Root mean square of `residual_image` within 1.5 FWHM of the accepted beads.
    field_map : FieldMap
        FWHM over the field.
    """

    spacing: tuple[float, ...]
    counts: dict[str, int]
    status: npt.NDArray[np.str_]
    positions: Doubles
    flux: Doubles
    snr: Doubles
    fwhm: Doubles
    r_squared: Doubles
    residual: Doubles
    fwhm_mean: tuple[float, ...]
    fwhm_sd: tuple[float, ...]
    fwhm_median: tuple[float, ...]
    background_mean: float
    gain: float | None
    residual_image: Floats
    residual_rms: float
    field_map: FieldMap

    @property
    def accepted(self) -> Flags:
        """Which beads passed all rules."""
        accepted: Flags = self.status == "accepted"
        return accepted

    def to_dict(self) -> dict[str, Any]:
        """Give all values but the residual image by name, as JSON can hold them."""
        arrays = ("status", "positions", "flux", "snr", "fwhm", "r_squared", "residual")
        tuples = ("spacing", "fwhm_mean", "fwhm_sd", "fwhm_median")
        plain = ("counts", "background_mean", "gain", "residual_rms")
        return (
            {name: getattr(self, name).tolist() for name in arrays}
            | {name: list(getattr(self, name)) for name in tuples}
            | {name: getattr(self, name) for name in plain}
            | {"field_map": self.field_map.to_dict()}
        )


def bead_statistics(
    beads: Beads,
    image: npt.ArrayLike,
    psf: Psf,
    background: float | npt.ArrayLike | None = None,
    *,
    bead_diameter: float = 0.0,
) -> BeadStatistics:
    """Compare an image of beads with what a PSF makes of them.

    The flux of every bead, and the background if it is not given, are fitted to the image with the
    PSF as it is. The residual then shows what the PSF does not explain: a PSF that changes over the
    field, clumps, beads that were not detected.

    Parameters
    ----------
    beads : Beads
        What `detect_beads` found in this image, with a voxel size.
    image : array_like (z, y, x) or (y, x)
        The beads. It is not modified.
    psf : Psf
        Of the same voxel size.
    background : float or array_like, optional
        b in grey values. Default: fitted, a polynomial of degree 2 in the coordinates.
    bead_diameter : float
        In µm; 0 if the beads' size is in the PSF (method ``"average"``).

    Returns
    -------
    BeadStatistics
        Of each bead and of all.

    Raises
    ------
    DeconvError
        If beads, image and PSF do not belong together.
    """
    array = check_image(image, "bead image").astype(np.float64)
    _check_match(beads, array, psf)
    check_number(bead_diameter, "bead_diameter", 0.0)
    base = None
    if background is not None:
        given = np.asarray(check_background(background, array), float)
        base = np.broadcast_to(given, array.shape)
    template = Template(psf.data, [bead_diameter / step for step in psf.spacing])
    width = np.median(beads.fwhm[_measured(beads)], axis=0) / psf.spacing
    fit = fit_light(array, template, beads.positions, beads.flux, BOX * width, base)
    light = fit.beads
    residual, gain, peak_noise = _in_sigma(array, light, fit.background)
    near = [box_around(place, BOX * width, array.shape) for place in beads.positions]
    squares = np.array([np.mean(residual[box] ** 2) for box in near])
    measured = beads.fwhm[_measured(beads)]
    height = fit.flux * template.image.max()
    return BeadStatistics(
        spacing=psf.spacing,
        counts=beads.counts,
        status=beads.status,
        positions=beads.positions,
        flux=fit.flux,
        snr=height / np.sqrt(peak_noise[0] + peak_noise[1] * height),
        fwhm=beads.fwhm,
        r_squared=beads.r_squared,
        residual=np.sqrt(squares),
        fwhm_mean=tuple(measured.mean(axis=0).tolist()),
        fwhm_sd=tuple(measured.std(axis=0, ddof=min(len(measured) - 1, 1)).tolist()),
        fwhm_median=tuple(np.median(measured, axis=0).tolist()),
        background_mean=float(fit.background.mean()),
        gain=gain,
        residual_image=residual.astype(np.float32),
        residual_rms=float(np.sqrt(squares[_measured(beads)].mean())),
        field_map=_field_map(beads, array.shape, psf.spacing),
    )


def _check_match(beads: Beads, image: Doubles, psf: Psf) -> None:
    """Raise `DeconvError` unless beads, image and PSF belong together."""
    if not image.ndim == psf.ndim == beads.positions.shape[1]:
        raise DeconvError(
            f"The image has {image.ndim} axes, the PSF {psf.ndim}, the beads' positions "
            f"{beads.positions.shape[1]}: expected the image that the beads were detected in."
        )
    if beads.spacing is None or not np.allclose(beads.spacing, psf.spacing, rtol=1e-3, atol=0):
        raise DeconvError(
            f"The beads were detected with voxels of {beads.spacing} µm, the PSF's are "
            f"{psf.spacing}: detect the beads with the PSF's spacing."
        )
    if not _measured(beads).any():
        raise DeconvError(
            f"None of {len(beads)} beads is accepted ({beads.summary}): there is nothing to "
            "compare the PSF with. Switch off the rule that rejects them."
        )


def _measured(beads: Beads) -> Flags:
    """Say which beads are accepted and have widths."""
    measured: Flags = beads.accepted & np.all(beads.fwhm > 0, axis=1)
    return measured


def _in_sigma(
    image: Doubles, light: Doubles, background: Doubles
) -> tuple[Doubles, float | None, tuple[float, float]]:
    """Divide the residual by the noise; also give the gain and the noise's two terms.

    σ² = v + g·Hp: v is seen where there are no beads, g is the camera's gain. If the noise does
    not tell g, the camera is taken for a photon counter without offset, g = v/b.
    """
    residual = image - light - background
    dark = light <= np.median(light)
    floor = _UNIFORM * grey_step(image) ** 2
    variance = max(noise_level(residual[dark]) ** 2, floor, np.finfo(float).tiny)
    gain: float | None
    try:
        gain = slope = estimate_gain(image).gain
    except DeconvError:
        gain, mean = None, float(background.mean())
        slope = variance / mean if mean > 0 else 0.0
    return residual / np.sqrt(variance + slope * np.maximum(light, 0)), gain, (variance, slope)


def _field_map(beads: Beads, shape: tuple[int, ...], spacing: tuple[float, ...]) -> FieldMap:
    measured = _measured(beads)
    places = (beads.positions[measured] * spacing)[:, -2:]
    extent = np.array([(n - 1) * step for n, step in zip(shape, spacing, strict=True)])[-2:]
    longest = max(float(extent.max()), spacing[-1])
    counts = np.maximum(np.rint(_CELLS * extent / longest).astype(int), 1)
    y, x = (
        (np.arange(n) + 0.5) / n * length
        for n, length in zip(counts.tolist(), extent.tolist(), strict=True)
    )
    sigma = _KERNEL * longest
    squares = (y[:, None, None] - places[:, 0]) ** 2 + (x[None, :, None] - places[:, 1]) ** 2
    # Measured from the nearest bead, so that the weights do not vanish far from all.
    weights = np.exp(-(squares - squares.min(axis=2, keepdims=True)) / (2 * sigma**2))
    weights /= weights.sum(axis=2, keepdims=True)
    return FieldMap(y, x, np.moveaxis(weights @ beads.fwhm[measured], 2, 0), sigma)

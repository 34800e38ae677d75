"""From an image to its beads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from napari_deconv._checks import check_choice, check_image, check_number, check_spacing
from napari_deconv._noise import smallest_height
from napari_deconv._progress import Callback, Progress
from napari_deconv.beads.measure import Measurement, measure_bead, without_duplicates
from napari_deconv.beads.rules import explain, judge
from napari_deconv.beads.spots import centres, find_spots, spot_size
from napari_deconv.beads.table import Beads, Rejection
from napari_deconv.beads.threshold import THRESHOLDS, threshold_beads
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError, DeconvWarning

__all__ = ["METHODS", "detect_beads", "detect_with_labels"]

METHODS = ("dog", *THRESHOLDS)
"""What can be chosen as `method`."""

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_ALL_RULES = Rejection()
_FEWEST_VOXELS = 5  # along an axis, to fit a Gaussian on an offset
_MOST_BEADS = 10_000
_HALO_REACH = 6.0  # FWHM
_HALO_SHARE = 0.1  # of the height of the bead whose halo it is
# A sphere of diameter d has the variance d²/20 along an axis; FWHM² is 8·ln 2 variances.
_SPHERE = 8.0 * float(np.log(2.0)) / 20.0


def detect_beads(
    image: npt.ArrayLike,
    *,
    spacing: float | Sequence[float] | None = None,
    method: str = "dog",
    threshold: float | None = None,
    fwhm: float | Sequence[float] | None = None,
    bead_diameter: float = 0.0,
    background: npt.ArrayLike | None = None,
    reject: Rejection = _ALL_RULES,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Beads:
    """Find beads, measure them, and say which can be trusted.

    Each bead is localised by the iterated centre of mass of (image − b)·w within ±1.5 FWHM, where
    the window w is a Gaussian as wide as a bead that moves along with the centre.

    Parameters
    ----------
    image : array_like (z, y, x) or (y, x)
        Any real dtype. It is not modified.
    spacing : float or sequence of float, optional
        Voxel size in µm. Without it lengths are in voxels, and the rules measure distances in FWHM
        (see `Rejection`).
    method : str
        ``"dog"`` : local maxima of a difference of Gaussians of the size of a bead.
        ``"otsu"``, ``"local"``, ``"li"``, ``"triangle"``, ``"manual"`` : the centroids of the
        regions that `threshold_beads` finds, except those less than 6 times the noise or 5 steps
        of the grey values above the median.
        With all of them, what is less than a tenth as high as a bead within 6 FWHM is taken for
        part of its halo and left out.
    threshold : float, optional
        In grey values, for ``"dog"`` the height of a bead above its surroundings, for ``"manual"``
        and ``"local"`` the `value` of `threshold_beads`; others ignore it. Default for
        ``"dog"``: the largest of 6 times the noise, 5 steps of the grey values and 10 % of the
        99.9 percentile.
    fwhm : float or sequence of float, optional
        Expected FWHM of a point in µm, or in voxels without `spacing`. Default: measured on the
        brightest spots.
    bead_diameter : float
        Diameter of the beads, in the unit of `fwhm`, which it widens where that is given.
    background : float or array_like, optional
        Background of the image. Default: the median around each bead.
    reject : Rejection
        The rules that beads have to pass.
    engine : str or Engine
        Where to compute.
    callback : callable, optional
        Called with a `Progress` after each bead.

    Returns
    -------
    Beads
        All beads, each with its status.

    Raises
    ------
    DeconvError
        For an unusable or constant image, a parameter out of range, no bead at all or too many.

    Warns
    -----
    DeconvWarning
        If no bead is accepted; it says why and what to do.
    """
    return detect_with_labels(
        image, spacing=spacing, method=method, threshold=threshold, fwhm=fwhm,
        bead_diameter=bead_diameter, background=background, reject=reject, engine=engine,
        callback=callback,
    )[0]  # fmt: skip


def detect_with_labels(
    image: npt.ArrayLike,
    *,
    spacing: float | Sequence[float] | None,
    method: str,
    threshold: float | None,
    fwhm: float | Sequence[float] | None,
    bead_diameter: float,
    background: npt.ArrayLike | None,
    reject: Rejection,
    engine: str | Engine,
    callback: Callback | None,
    size: Doubles | None = None,
) -> tuple[Beads, npt.NDArray[np.int32] | None, Doubles]:
    """Find beads as `detect_beads` does.

    Gives with them the regions of a threshold, if any, and how many voxels wide a bead was expected
    to be, which as `size` need not be found out again for the same image.
    """
    array = _check_image(image)
    check_choice(method, METHODS, "method")
    if threshold is not None and method in ("dog", "local", "manual"):
        threshold = check_number(threshold, "threshold")
    steps = check_spacing(spacing, array.ndim)
    device = get_engine(engine)
    volume = array.astype(np.float32)
    if size is None:
        size = _expected_size(volume, fwhm, bead_diameter, steps, device)
    labels = None
    if method == "dog":
        starts, heights = find_spots(volume, size, threshold, device)
    else:
        labels = threshold_beads(array, method, value=threshold, engine=device)
        starts, heights = _centroids(labels, volume)
    _check_count(len(starts), method)
    starts = starts[_outside_halos(starts / size, heights)]

    base = _base(background, volume.shape)
    top = float(volume.max())
    beads = []
    for done, start in enumerate(starts, start=1):
        beads.append(measure_bead(volume, start, size, base, top))
        if callback is not None:
            callback(Progress(done, len(starts)))
    beads = without_duplicates(beads, size)
    status = judge(volume, beads, size, steps, reject)
    found = _table(beads, status, steps)
    if not found.accepted.any():
        message = explain(found.counts, steps, reject)
        warnings.warn(message, DeconvWarning, stacklevel=3)
    return found, labels, size


def _check_image(image: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """Take one volume or plane in which there can be beads."""
    array = check_image(image)
    if array.ndim > 3:
        raise DeconvError(
            f"The image has shape {array.shape}: expected (z, y, x) or (y, x). "
            "Choose one channel and time point."
        )
    if min(array.shape) < _FEWEST_VOXELS:
        raise DeconvError(
            f"The image has shape {array.shape}: widths can be measured from {_FEWEST_VOXELS} "
            "voxels along each axis. Give a single plane as (y, x)."
        )
    if array.min() == array.max():
        raise DeconvError(
            f"The image is constant ({array.flat[0]} everywhere): there are no beads in it."
        )
    return array


def _expected_size(
    image: Floats,
    fwhm: float | Sequence[float] | None,
    bead_diameter: float,
    spacing: tuple[float, ...] | None,
    engine: Engine,
) -> Doubles:
    """FWHM of a bead in voxels, at least 1 so that filters and boxes keep their meaning."""
    diameter = check_number(bead_diameter, "bead_diameter", 0.0)
    if fwhm is None:
        measured = spot_size(image, engine)
        if measured is None:
            raise DeconvError(
                "No bead found: nothing in the image looks like a spot. "
                "Check the image, or give the expected size of a bead with fwhm=."
            )
        return np.maximum(measured, 1.0)
    try:
        point = np.asarray(fwhm, dtype=np.float64)
    except (TypeError, ValueError):
        point = np.array(np.nan)
    if point.shape not in ((), (image.ndim,)) or not np.all(np.isfinite(point) & (point > 0)):
        raise DeconvError(f"fwhm={fwhm!r}: expected {image.ndim} numbers above 0, or one for all.")
    widened: Doubles = np.hypot(point, np.sqrt(_SPHERE) * diameter)
    voxels: Doubles = np.maximum(widened / np.array(spacing or (1.0,) * image.ndim), 1.0)
    if np.any(voxels > image.shape):
        unit = "voxels" if spacing is None else "µm"
        wide = " × ".join(f"{length:.3g}" for length in voxels)
        raise DeconvError(
            f"fwhm={fwhm!r} {unit} and bead_diameter={bead_diameter!r} make beads {wide} voxels "
            f"wide, more than the image of shape {image.shape}: check their unit and the spacing."
        )
    return voxels


def _centroids(labels: npt.NDArray[np.int32], image: Floats) -> tuple[Doubles, Floats]:
    """Centroids of the regions that are more than noise, and their heights above the median."""
    inside = labels > 0
    tops = np.full(labels.max(), -np.inf, np.float32)
    np.maximum.at(tops, labels[inside] - 1, image[inside])
    heights = tops - np.median(image)
    high = heights > smallest_height(image, image)
    return centres(labels)[high], heights[high]


def _outside_halos(places: Doubles, heights: Floats) -> npt.NDArray[np.bool_]:
    """Mark what is not the diffraction ring, or noise in the light, of a bead nearby.

    Places are in units of the FWHM.
    """
    outside = np.ones(len(places), dtype=bool)
    one, other = KDTree(places).query_pairs(_HALO_REACH, output_type="ndarray").T
    outside[one[heights[one] < _HALO_SHARE * heights[other]]] = False
    outside[other[heights[other] < _HALO_SHARE * heights[one]]] = False
    return outside


def _check_count(count: int, method: str) -> None:
    if count == 0:
        raise DeconvError(
            f"No bead found: method={method!r} finds nothing above its threshold. "
            "Lower the threshold, try another method, or check that this is the bead image."
        )
    if count > _MOST_BEADS:
        raise DeconvError(
            f"method={method!r} finds {count} spots: more than {_MOST_BEADS} are noise, not beads. "
            "Raise the threshold, or subtract the background first."
        )


def _base(background: npt.ArrayLike | None, shape: tuple[int, ...]) -> Floats | None:
    """Background at every voxel, without using memory for one number."""
    if background is None:
        return None
    base = np.asarray(background, dtype=np.float32)
    if base.shape not in ((), shape) or not np.all(np.isfinite(base)):
        raise DeconvError(
            f"The background has shape {base.shape}: expected one finite number, or an array of "
            f"the image's shape {shape}."
        )
    return np.broadcast_to(base, shape)


def _table(
    beads: list[Measurement], status: npt.NDArray[np.str_], spacing: tuple[float, ...] | None
) -> Beads:
    widths = np.stack([bead.fwhm for bead in beads])
    return Beads(
        positions=np.stack([bead.position for bead in beads]),
        flux=np.array([bead.flux for bead in beads]),
        height=np.array([bead.height for bead in beads]),
        background=np.array([bead.background for bead in beads]),
        fwhm=widths if spacing is None else widths * spacing,
        r_squared=np.stack([bead.r_squared for bead in beads]),
        status=status,
        spacing=spacing,
    )

"""Which beads pass the rules, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform, spline_filter
from scipy.spatial import KDTree

from napari_deconv.beads.measure import BOX, Measurement, box_around
from napari_deconv.beads.table import ACCEPTED, Rejection

__all__ = ["explain", "judge", "resample"]

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Spacing = tuple[float, ...] | None

# Without a voxel size distances are in FWHM.
_EDGE_FWHM = 2.0
_NEIGHBOUR_FWHM = 5.0

_FEWEST_FOR_MEDIAN = 3
_MOST_FOR_MEDIAN = 100
_SPLINE_MARGIN = 6  # voxels; the border of a box bends its spline by 0.27 to their power
# What noise does to R², width and correlation is not held against a bead: R² and correlation as if
# without it (cf. Spearman, Am. J. Psychol. 15, 72, 1904), and widths less this many errors.
_SURELY = 3.0
_WIDTH_ERROR = 2.0  # relative, times the profile's signal-to-noise ratio
_PARAMETERS = 4  # of the fit
_MOST_NOISE = 0.5  # of the variance; noise alone is no bead
_MEDIAN_VARIANCE = np.pi / 2  # of a median, relative to the mean's
_SHAPE_BOX = 1.0  # half width in FWHM; further out a dim bead is mostly noise


def judge(
    image: Floats, beads: list[Measurement], fwhm: Doubles, spacing: Spacing, rules: Rejection
) -> npt.NDArray[np.str_]:
    """Find the first rule that each bead does not pass.

    Parameters
    ----------
    image : ndarray of float32 (z, y, x) or (y, x)
        The image.
    beads : list of Measurement
        At least one.
    fwhm : ndarray (3,) or (2,)
        Expected full width at half maximum in voxels.
    spacing : tuple of float or None
        Voxel size in µm.
    rules : Rejection
        The rules.

    Returns
    -------
    ndarray of str
        ``"accepted"`` or the name of the rule.
    """
    positions = np.stack([bead.position for bead in beads])
    flux = np.array([bead.flux for bead in beads])
    widths = np.stack([bead.fwhm for bead in beads])
    snr = np.stack([bead.profile_snr for bead in beads])
    r_squared = np.stack([bead.r_squared for bead in beads])
    fitted = _well_fitted(r_squared + _noise_share(snr, fwhm), rules)
    status = np.full(len(beads), ACCEPTED, dtype="U16")

    def reject(rule: str, failing: Flags) -> None:
        status[failing & (status == ACCEPTED)] = rule

    def typical() -> Flags:
        """Beads to take medians over: those still accepted, if there are any."""
        candidates = [fitted & (status == ACCEPTED), fitted, np.ones_like(fitted)]
        return next(flags for flags in candidates if flags.any())

    if rules.edge:
        reject("edge", _near_edge(positions, image.shape, fwhm, spacing, rules))
    if rules.neighbour:
        heights = np.array([bead.height for bead in beads])
        reject("neighbour", _near_neighbour(positions, heights, fwhm, spacing, rules))
    if rules.saturated:
        reject("saturated", np.array([bead.saturated for bead in beads]))
    if rules.brightness:
        low, high = np.array(rules.brightness_range) * np.median(flux[typical()])
        reject("brightness", (flux < low) | (flux > high))
    if rules.doublet:
        limit = rules.doublet_ratio * np.median(widths[typical()], axis=0)
        uncertain = 1 + _SURELY * _WIDTH_ERROR / np.maximum(snr, 1)
        reject("doublet", np.any(widths > limit * uncertain, axis=1))
    if rules.fit:
        reject("fit", ~fitted)
    if rules.correlation:
        similarity = _similarity(image, beads, typical(), fwhm)
        reject("correlation", similarity < rules.correlation_limit)
    return status


def explain(counts: dict[str, int], spacing: Spacing, rules: Rejection) -> str:
    """Say why no bead was accepted, and what to do about the most frequent reason."""
    low, high = rules.brightness_range
    near = f"{_NEIGHBOUR_FWHM:g} FWHM" if spacing is None else f"{rules.neighbour_distance:g} µm"
    far = f"{_EDGE_FWHM:g} FWHM" if spacing is None else f"{rules.edge_distance:g} µm"
    reasons = {
        "edge": (
            f"less than {BOX:g} FWHM (x, y) or {far} (z) from the border",
            "Record more planes or a larger field, or lower the distance to the edge.",
        ),
        "neighbour": (
            f"closer than {near} to a neighbour",
            "Lower the distance, or use method reverse, which can separate neighbours.",
        ),
        "saturated": ("saturated", "Record with less light, a shorter exposure or less gain."),
        "brightness": (
            f"not {low:g} to {high:g} times as bright as the median",
            "Widen the range of brightness.",
        ),
        "doublet": (
            f"more than {rules.doublet_ratio:g} times as wide as the median",
            "Raise the doublet ratio, or record beads that lie further apart.",
        ),
        "fit": (
            "not bell-shaped along all axes",
            "Check that these are beads, give their expected FWHM, or lower the limits of R².",
        ),
        "correlation": (
            "unlike the median bead",
            "Lower the limit of the correlation, or crop to where the beads look alike.",
        ),
    }
    total = sum(counts.values())
    failed = {rule: count for rule, count in counts.items() if rule in reasons}
    because = ", ".join(f"{n} of {total} were {reasons[rule][0]}" for rule, n in failed.items())
    return f"No bead left: {because}. {reasons[next(iter(failed))][1]}"


def _well_fitted(r_squared: Doubles, rules: Rejection) -> Flags:
    limits = (rules.r_squared_axial, rules.r_squared_lateral, rules.r_squared_lateral)
    fitted: Flags = np.all(r_squared >= limits[-r_squared.shape[1] :], axis=1)
    return fitted


def _noise_share(snr: Doubles, fwhm: Doubles) -> Doubles:
    """Part of a profile's variance that noise leaves unexplained by the best fit."""
    samples = 2 * np.ceil(BOX * fwhm) + 1
    share = np.maximum(samples - _PARAMETERS, 0) / np.maximum(snr, 1) ** 2
    capped: Doubles = np.minimum(share, _MOST_NOISE)
    return capped


def _near_edge(
    positions: Doubles, shape: tuple[int, ...], fwhm: Doubles, spacing: Spacing, rules: Rejection
) -> Flags:
    inside = np.minimum(positions + 0.5, np.array(shape) - 0.5 - positions)
    needed = BOX * fwhm
    if len(shape) == 3:
        needed[0] = _EDGE_FWHM * fwhm[0] if spacing is None else rules.edge_distance / spacing[0]
    near: Flags = np.any(inside < needed, axis=1)
    return near


def _near_neighbour(
    positions: Doubles, heights: Doubles, fwhm: Doubles, spacing: Spacing, rules: Rejection
) -> Flags:
    places = positions / fwhm if spacing is None else positions * spacing
    distance = _NEIGHBOUR_FWHM if spacing is None else rules.neighbour_distance
    one, other = KDTree(places).query_pairs(distance, output_type="ndarray").T
    near = np.zeros(len(places), dtype=bool)
    near[one[heights[other] > rules.neighbour_height * heights[one]]] = True
    near[other[heights[one] > rules.neighbour_height * heights[other]]] = True
    return near


def _similarity(image: Floats, beads: list[Measurement], typical: Flags, fwhm: Doubles) -> Doubles:
    """Pearson correlation of each bead with the median bead, as if there were no noise.

    It is 1 if there are too few beads for a median.
    """
    models = np.flatnonzero(typical)[:_MOST_FOR_MEDIAN]
    if len(models) < _FEWEST_FOR_MEDIAN:
        return np.ones(len(beads))
    found = [_normalised(image, bead, fwhm) for bead in beads]
    shapes, share = (np.array(each) for each in zip(*found, strict=True))
    median = np.median(shapes[models], axis=0)
    median -= median.mean()
    median /= np.linalg.norm(median)
    noise = np.median(share[models]) * _MEDIAN_VARIANCE / len(models)
    axes = median.ndim
    similarity: Doubles = np.tensordot(shapes, median, axes) / np.sqrt((1 - share) * (1 - noise))
    return similarity


def _normalised(image: Floats, bead: Measurement, fwhm: Doubles) -> tuple[Doubles, float]:
    """Resample a bead around its sub-pixel centre, mean 0 and norm 1; also its share of noise."""
    voxels = resample(image, bead.position, np.ceil(_SHAPE_BOX * fwhm).astype(int).tolist())
    voxels -= voxels.mean()
    norm = float(np.linalg.norm(voxels))
    if norm == 0:
        return voxels, 0.0
    return voxels / norm, min(voxels.size * (bead.noise / norm) ** 2, _MOST_NOISE)


def resample(image: Floats, position: Doubles, half: Sequence[int]) -> Doubles:
    """Interpolate a box of 2 × half + 1 voxels around a position by cubic splines.

    Beyond the image its border goes on.
    """
    reach = np.add(half, _SPLINE_MARGIN)
    box = box_around(position, reach, image.shape)
    first = np.rint(position).astype(int) - reach
    cut = [
        (extent.start - start, start + 2 * margin + 1 - extent.stop)
        for extent, start, margin in zip(box, first, reach, strict=True)
    ]
    # Left to affine_transform, it would be padded by 12 voxels all around: ten times as long.
    spline = spline_filter(np.pad(image[box].astype(np.float64), cut, "edge"), mode="mirror")
    shape = tuple(2 * each + 1 for each in half)
    voxels: Doubles = affine_transform(
        spline, np.ones(image.ndim), position - first - half, shape, mode="mirror", prefilter=False
    )
    return voxels

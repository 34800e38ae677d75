"""Beads as connected regions above a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.filters import threshold_li, threshold_otsu, threshold_triangle
from skimage.measure import label

from napari_deconv._checks import as_volume, check_choice, check_image, check_number
from napari_deconv._noise import grey_step, noise_level
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError

__all__ = ["THRESHOLDS", "threshold_beads"]

THRESHOLDS = ("otsu", "local", "li", "triangle", "manual")
"""What can be chosen as `method`."""

_LOCAL_SIGMA = 15.0  # voxels; wider than any bead
_NOISE_LEVELS = 5.0


def threshold_beads(
    image: npt.ArrayLike,
    method: str = "otsu",
    *,
    value: float | None = None,
    engine: str | Engine = "auto",
) -> npt.NDArray[np.int32]:
    """Label the connected regions above a threshold.

    Parameters
    ----------
    image : array_like
        (y, x), (z, y, x) or more axes in front, any real dtype. It is not modified.
    method : str
        ``"otsu"`` : largest variance between the classes (Otsu 1979).
        ``"li"`` : smallest cross entropy (Li & Lee 1993).
        ``"triangle"`` : largest distance from the histogram's slope (Zack et al. 1977).
        ``"local"`` : `value` above the mean around each voxel (Gaussian, σ = 15 voxels).
        ``"manual"`` : above `value`.
    value : float, optional
        In grey values. Must be given for ``"manual"``; for ``"local"`` the default is 5 times the
        noise, at least 1 step of the grey values. Other methods ignore it.
    engine : str or Engine
        Where to compute.

    Returns
    -------
    ndarray of int32
        0 outside, 1, 2, … in regions whose voxels touch at a face, edge or corner. Regions do not
        extend from one volume to another.

    Raises
    ------
    DeconvError
        For an unusable or constant image, an unknown method, or a missing or impossible `value`.

    References
    ----------
    N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62-66 (1979); C. H. Li and C. K. Lee, Pattern
    Recognition 26, 617-625 (1993); G. W. Zack et al., J. Histochem. Cytochem. 25, 741-753 (1977).
    """
    array = check_image(image)
    check_choice(method, THRESHOLDS, "method")
    if method == "manual" and value is None:
        raise DeconvError("value=None: method='manual' needs a threshold in grey values.")
    if method in ("manual", "local") and value is not None:
        value = check_number(value, "value")
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.min() == array.max():
        raise DeconvError(
            f"The image is constant ({array.flat[0]} everywhere): there is nothing to threshold."
        )
    ndim = min(array.ndim, 3)
    labels, before = np.zeros(array.shape, np.int32), 0
    for index in np.ndindex(array.shape[:-ndim]):
        volume: npt.NDArray[Any] = array[index]
        regions = label(volume > _threshold(volume, method, value, get_engine(engine)))
        np.add(regions, before, out=labels[index], where=regions > 0)
        before = int(labels[index].max(initial=before))
    return labels


def _threshold(
    volume: npt.NDArray[Any], method: str, value: float | None, engine: Engine
) -> float | npt.NDArray[np.float32]:
    if method == "manual":
        assert value is not None
        return value
    if method == "local":
        return _local_threshold(volume, value, engine)
    choose = {"otsu": threshold_otsu, "li": threshold_li, "triangle": threshold_triangle}[method]
    return float(choose(volume))


def _local_threshold(
    volume: npt.NDArray[Any], value: float | None, engine: Engine
) -> npt.NDArray[np.float32]:
    image = as_volume(volume)
    sigma = tuple(_LOCAL_SIGMA if size > 1 else 0.0 for size in image.shape)
    mean = engine.to_numpy(engine.gaussian(engine.asarray(image), sigma)).reshape(volume.shape)
    if value is None:
        value = max(_NOISE_LEVELS * noise_level(volume - mean), grey_step(volume))
    return mean + np.float32(value)

"""Background: what the image shows where there is no specimen, and the image without it.

Results are float32. Filters reflect at the edges. Images with more than three axes are treated one
volume (z, y, x) at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume, check_choice, check_image, check_spacing
from napari_deconv._progress import Callback, Progress
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.errors import DeconvError

__all__ = ["METHODS", "estimate_background", "subtract_background"]

METHODS = ("mean", "constant", "percentile", "rolling_ball", "top_hat", "gaussian")
"""What can be chosen as `method`."""

Floats = npt.NDArray[np.float32]

_SMOOTHING = 2.0  # σ in pixels, so that noise does not set the percentile
_DEFAULT_RADIUS = 10.0  # voxels along x


def subtract_background(
    image: npt.ArrayLike,
    method: str = "mean",
    *,
    factor: float = 1.25,
    floor: float = 0.1,
    radius: float | None = None,
    percentile: float | None = None,
    value: float | None = None,
    spacing: float | Sequence[float] | None = None,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Floats:
    """Subtract the background from an image.

    Parameters
    ----------
    image : array_like
        (y, x), (z, y, x) or more axes in front, any real dtype. It is not modified.
    method : str
        ``"mean"`` : `factor` times the mean; what is then 0 or less becomes `floor`.
        All others keep negative differences, so that noise stays symmetric around zero:
        ``"constant"`` : `value`.
        ``"percentile"`` : a percentile of the image blurred with σ = 2 pixels.
        ``"rolling_ball"`` : how high the top of a ball gets that rolls below the image surface.
        ``"top_hat"`` : the morphological opening (minimum, then maximum) with a box.
        ``"gaussian"`` : a wide Gaussian blur.
    factor, floor : float
        For ``"mean"``.
    radius : float, optional
        Radius of the ball, half width of the box or σ of the Gaussian: in µm if `spacing` is given,
        else in voxels. Take more than the radius of the largest object. Default: 10 voxels along x.
        The ball is as high in grey values as its radius is in voxels along x.
    percentile : float, optional
        For ``"percentile"``, 0 to 100; default 1.
    value : float, optional
        For ``"constant"``.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm.
    engine : str or Engine
        Where to compute.
    callback : callable, optional
        Called with a `Progress` after each volume, with a rolling ball after each plane.

    Returns
    -------
    ndarray of float32
        The image without its background, in the image's shape.

    Raises
    ------
    DeconvError
        For an unusable image, an unknown method or a parameter out of range.

    References
    ----------
    S. R. Sternberg, "Biomedical image processing", Computer 16(1), 22-34 (1983).
    """
    array = check_image(image)
    background = estimate_background(
        array,
        method,
        factor=factor,
        radius=radius,
        percentile=percentile,
        value=value,
        spacing=spacing,
        engine=engine,
        callback=callback,
    )
    difference = array.astype(np.float32)
    difference -= np.asarray(background, np.float32)
    if method == "mean":
        difference[difference <= 0] = _check_number(floor, "floor")
    return difference


def estimate_background(
    image: npt.ArrayLike,
    method: str = "percentile",
    *,
    factor: float = 1.25,
    radius: float | None = None,
    percentile: float | None = None,
    value: float | None = None,
    spacing: float | Sequence[float] | None = None,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> float | Floats:
    """Estimate the background of an image without subtracting it.

    Parameters
    ----------
    image, method, factor, radius, percentile, value, spacing, engine, callback
        As in `subtract_background`.

    Returns
    -------
    float or ndarray of float32
        One number for ``"mean"``, ``"constant"`` and ``"percentile"``, else an array of the image's
        shape. Of an image with more than three axes always an array that broadcasts with it.

    Raises
    ------
    DeconvError
        As `subtract_background`.
    """
    array = check_image(image)
    check_choice(method, METHODS, "method")
    ndim = min(array.ndim, 3)
    radii = _radii(radius, check_spacing(spacing, ndim), ndim)
    rank = _check_number(1.0 if percentile is None else percentile, "percentile", 0.0, 100.0)
    if method == "constant" and value is None:
        raise DeconvError("method='constant' subtracts one value: give it with value=.")
    level = _check_number(0.0 if value is None else value, "value")
    weight = _check_number(factor, "factor")
    device = get_engine(engine)

    volumes = array.reshape(-1, *array.shape[-ndim:])
    planes = volumes.shape[1] if method == "rolling_ball" and ndim == 3 else 1
    advance = _counter(len(volumes) * planes, callback)
    estimates: list[float | Floats] = []
    for volume in volumes:
        if method == "mean":
            estimates.append(weight * float(volume.mean(dtype=np.float64)))
        elif method == "constant":
            estimates.append(level)
        elif method == "percentile":
            estimates.append(_percentile(volume, rank, device))
        elif method == "rolling_ball":
            estimates.append(_rolling_ball(volume, radii, device, advance))
        elif method == "top_hat":
            estimates.append(_opening(volume, radii, device))
        else:
            estimates.append(_blur(volume, radii, device))
        if method != "rolling_ball":
            advance()
    if array.ndim == ndim:
        return estimates[0]
    stack = np.stack([np.asarray(item, np.float32) for item in estimates])
    within = array.shape[-ndim:] if stack.ndim > 1 else (1,) * ndim
    return stack.reshape(*array.shape[:-ndim], *within)


def _percentile(volume: npt.NDArray[np.generic], rank: float, engine: Engine) -> float:
    blurred = _blur(volume, (_SMOOTHING,) * volume.ndim, engine)
    return float(np.percentile(blurred, rank))


def _blur(volume: npt.NDArray[np.generic], sigma: tuple[float, ...], engine: Engine) -> Floats:
    image = _upload(volume, engine)
    return engine.to_numpy(engine.gaussian(image, _lift(sigma))).reshape(volume.shape)


def _opening(volume: npt.NDArray[np.generic], radii: tuple[float, ...], engine: Engine) -> Floats:
    size = tuple(2 * round(radius) + 1 for radius in _lift(radii))
    image = _upload(volume, engine)
    opened = engine.maximum(engine.minimum(image, size), size)
    return engine.to_numpy(opened).reshape(volume.shape)


def _rolling_ball(
    volume: npt.NDArray[np.generic],
    radii: tuple[float, ...],
    engine: Engine,
    advance: Callable[[], None],
) -> Floats:
    """Roll a ball below a surface: apex(r) = min over o of image(r + o) + ball(0) − ball(o).

    A ball is a stack of discs, so planes are done one by one: little memory, soon cancelled.
    """
    image = as_volume(volume)
    ball = _ball(_lift(radii))
    reach = len(ball) // 2
    top = ball[tuple(size // 2 for size in ball.shape)]
    background = np.full(image.shape, np.inf, np.float32)
    for z, apex in enumerate(background):
        for disc, plane in zip(ball, range(z - reach, z + reach + 1), strict=True):
            if 0 <= plane < len(image):
                rolled = engine.rolling_ball(_upload(image[plane], engine), disc[np.newaxis])
                drop = top - disc[disc.shape[0] // 2, disc.shape[1] // 2]
                np.minimum(apex, engine.to_numpy(rolled)[0] + drop, out=apex)
        advance()
    return background.reshape(volume.shape)


def _ball(radii: tuple[float, ...]) -> Floats:
    """Height of the upper half of an ellipsoid, infinite off it, as high as it is wide along x."""
    reach = [int(radius) for radius in radii]
    grid = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    distance = sum((axis / max(radius, 1.0)) ** 2 for axis, radius in zip(grid, radii, strict=True))
    height = radii[-1] * np.sqrt(np.clip(1.0 - distance, 0.0, None))
    return np.where(distance <= 1.0, height, np.inf).astype(np.float32)


def _radii(radius: float | None, spacing: tuple[float, ...] | None, ndim: int) -> tuple[float, ...]:
    """Radius in voxels along each axis."""
    steps = spacing or (1.0,) * ndim
    length = _DEFAULT_RADIUS * steps[-1] if radius is None else _check_number(radius, "radius")
    if length < min(steps[-2:]):
        unit = "µm" if spacing else "voxels"
        raise DeconvError(
            f"radius={radius!r} {unit} is less than a pixel: take more than the radius of the "
            "largest object."
        )
    return tuple(length / step for step in steps)


def _lift(lengths: tuple[float, ...]) -> tuple[float, ...]:
    """Give the axes (y, x) a z along which nothing happens."""
    return (0.0,) * (3 - len(lengths)) + lengths


def _upload(volume: npt.NDArray[np.generic], engine: Engine) -> Array:
    nbytes = volume.size * np.dtype(np.float32).itemsize
    engine.require(4 * nbytes, nbytes, "Estimating the background")
    return engine.asarray(as_volume(volume))


def _counter(total: int, callback: Callback | None) -> Callable[[], None]:
    """Make a function that reports one step more each time it is called."""
    steps = iter(range(1, total + 1))

    def advance() -> None:
        if callback is not None:
            callback(Progress(next(steps), total))

    return advance


def _check_number(value: Any, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    expected = "a finite number" if np.isinf(low) else f"a number from {low:g} to {high:g}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number) or not low <= number <= high:
        raise DeconvError(f"{name}={value!r}: expected {expected}.")
    return number

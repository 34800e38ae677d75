"""Background: what the image shows where there is no specimen, and the image without it.

Results are float32. Filters reflect at the edges. Images with more than three axes are treated one
volume (z, y, x) at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import (
    LARGEST,
    as_volume,
    check_choice,
    check_image,
    check_number,
    check_spacing,
)
from napari_deconv._progress import Callback, Progress
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.errors import DeconvError

__all__ = [
    "METHODS",
    "SMOOTHING",
    "estimate_background",
    "masked_percentile",
    "rolling_ball_in",
    "subtract_background",
]

METHODS = ("mean", "constant", "percentile", "rolling_ball", "top_hat", "gaussian")
"""What can be chosen as `method`."""

Floats = npt.NDArray[np.float32]

SMOOTHING = 2.0
"""σ in voxels of what a percentile is taken of: noise is not to set it."""

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
    planes: bool = False,
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
        For ``"mean"``, 0 or more. What a method does not use is ignored.
    radius : float, optional
        Radius of the ball, half width of the box or σ of the Gaussian: in µm if `spacing` is given,
        else in voxels. Take more than the radius of the largest object, and
        less than the image's longest side. Default: 10 voxels along x. The ball is as high in
        grey values as its radius is in voxels along x.
    percentile : float, optional
        For ``"percentile"``, 0 to 100; default 1.
    value : float, optional
        For ``"constant"``.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm.
    planes : bool
        Treat each plane (y, x) by itself, as of a series in time or channel without z.
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
    lowest = check_number(floor, "floor", 0.0, LARGEST) if method == "mean" else 0.0
    volumes = array.reshape(-1, *array.shape[-2 if planes else -3 :])
    estimates = _estimates(
        volumes, method, factor, radius, percentile, value, spacing, engine, callback
    )
    difference = np.empty(volumes.shape, np.float32)
    for volume, out, (level, relief) in zip(volumes, difference, estimates, strict=True):
        _subtract(volume, level, out)
        out -= relief
    if method == "mean":
        difference[difference <= 0] = lowest
    return difference.reshape(array.shape)


def estimate_background(
    image: npt.ArrayLike,
    method: str = "percentile",
    *,
    factor: float = 1.25,
    radius: float | None = None,
    percentile: float | None = None,
    value: float | None = None,
    spacing: float | Sequence[float] | None = None,
    planes: bool = False,
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> float | Floats:
    """Estimate the background of an image without subtracting it.

    Parameters
    ----------
    image, method, factor, radius, percentile, value, spacing, planes, engine, callback
        As in `subtract_background`.

    Returns
    -------
    float or ndarray of float32
        One number for ``"mean"``, ``"constant"`` and ``"percentile"``, else an array of the image's
        shape. Of an image of several volumes, or planes, always an array that broadcasts with it.

    Raises
    ------
    DeconvError
        As `subtract_background`.
    """
    array = check_image(image)
    volumes = array.reshape(-1, *array.shape[-2 if planes else -3 :])
    estimates = _estimates(
        volumes, method, factor, radius, percentile, value, spacing, engine, callback
    )
    backgrounds = [level + relief for level, relief in estimates]
    leading, shape = array.shape[: 1 - volumes.ndim], volumes.shape[1:]
    if not leading:
        return backgrounds[0]
    stack = np.stack([np.asarray(item, np.float32) for item in backgrounds])
    return stack.reshape(*leading, *(shape if stack.ndim > 1 else (1,) * len(shape)))


def _estimates(
    volumes: npt.NDArray[np.generic],
    method: str,
    factor: float,
    radius: float | None,
    percentile: float | None,
    value: float | None,
    spacing: float | Sequence[float] | None,
    engine: str | Engine,
    callback: Callback | None,
) -> Iterator[tuple[float, float | Floats]]:
    """Estimate the background of each volume: a level, and how far it is above the level where.

    Filters get the image above its minimum, so that single precision keeps small differences on a
    large offset.
    """
    check_choice(method, METHODS, "method")
    shape = volumes.shape[1:]
    level = weight = rank = 0.0
    radii: tuple[float, ...] = ()
    if method == "mean":
        weight = check_number(factor, "factor", 0.0, LARGEST)
    elif method == "constant":
        level = _check_value(value)
    elif method == "percentile":
        rank = check_number(1.0 if percentile is None else percentile, "percentile", 0.0, 100.0)
    else:
        radii = _radii(radius, check_spacing(spacing, len(shape)), shape)
    device = get_engine(engine)
    planes = shape[0] if method == "rolling_ball" and len(shape) == 3 else 1
    advance = _counter(len(volumes) * planes, callback)
    for volume in volumes:
        relief: float | Floats = 0.0
        if method == "mean":
            level = weight * float(volume.mean(dtype=np.float64))
        elif method != "constant":
            level = float(np.min(volume))
            image = _subtract(volume, level, np.empty(shape, np.float32))
            if method == "percentile":
                level += _percentile(image, rank, device)
            elif method == "rolling_ball":
                relief = _rolling_ball(image, radii, device, advance).reshape(shape)
            elif method == "top_hat":
                relief = _opening(image, radii, device)
            else:
                relief = _blur(image, radii, device)
        if method != "rolling_ball":
            advance()
        yield level, relief


def _subtract(volume: npt.NDArray[np.generic], level: float, out: Floats) -> Floats:
    """Subtract in double precision, without a copy of the volume in it."""
    np.subtract(volume, level, out=out, dtype=np.float64)
    return out


def _check_value(value: float | None) -> float:
    if value is None:
        raise DeconvError("method='constant' subtracts one value: give it with value=.")
    return check_number(value, "value", -LARGEST, LARGEST)


def _percentile(volume: Floats, rank: float, engine: Engine) -> float:
    blurred = _blur(volume, (SMOOTHING,) * volume.ndim, engine)
    return float(np.percentile(blurred, rank))


def masked_percentile(
    image: npt.NDArray[np.generic], mask: npt.NDArray[np.bool_], rank: float, engine: Engine
) -> float:
    """Take a percentile of a smoothed volume or plane, in which masked voxels have no weight.

    Parameters
    ----------
    image : ndarray
        (z, y, x) or (y, x).
    mask : ndarray of bool
        Of the image's shape, True where voxels count.
    rank : float
        Per cent.
    engine : Engine
        Where to compute.
    """
    light, weight = (
        _blur(values.astype(np.float32), (SMOOTHING,) * image.ndim, engine)[mask]
        for values in (np.where(mask, image, 0), mask)
    )
    return float(np.percentile(light / weight, rank))


def _blur(volume: Floats, sigma: tuple[float, ...], engine: Engine) -> Floats:
    image = _upload(volume, engine)
    return engine.to_numpy(engine.gaussian(image, _lift(sigma))).reshape(volume.shape)


def _opening(volume: Floats, radii: tuple[float, ...], engine: Engine) -> Floats:
    image = as_volume(volume)
    # A box that reaches from one end to the other holds all there is.
    reach = [min(round(r), n - 1) for r, n in zip(_lift(radii), image.shape, strict=True)]
    size = tuple(2 * n + 1 for n in reach)
    opened = engine.maximum(engine.minimum(_upload(image, engine), size), size)
    return engine.to_numpy(opened).reshape(volume.shape)


def rolling_ball_in(
    image: npt.ArrayLike,
    wanted: slice,
    radius: float,
    spacing: Sequence[float],
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> Floats:
    """Estimate the background of some planes by a rolling ball, which sees the others, too.

    Parameters
    ----------
    image : array_like
        (z, y, x), or (y, x), which is one plane.
    wanted : slice
        The planes.
    radius, spacing, engine, callback
        As in `subtract_background`.

    Returns
    -------
    ndarray of float32
        (planes, y, x), what `estimate_background` says of these planes.

    Raises
    ------
    DeconvError
        As `subtract_background`.
    """
    array = check_image(image)
    radii = _radii(radius, check_spacing(spacing, array.ndim), array.shape)
    level = float(np.min(array))
    volume = _subtract(array, level, np.empty(array.shape, np.float32))
    advance = _counter(len(as_volume(volume)), callback)
    relief = _rolling_ball(volume, radii, get_engine(engine), advance, wanted)
    return level + relief


def _rolling_ball(
    volume: Floats,
    radii: tuple[float, ...],
    engine: Engine,
    advance: Callable[[], None],
    wanted: slice = slice(None),
) -> Floats:
    """Roll a ball below a surface: apex(r) = min over o of image(r + o) + ball(0) − ball(o).

    A ball is a stack of discs, so planes are done one by one: little memory, soon cancelled. It is
    as wide above its middle as below: what a plane makes of a disc counts on either side of it.
    Gives the planes that are wanted.
    """
    image = as_volume(volume)
    ball = _ball(_lift(radii), image.shape, engine)
    reach = len(ball) // 2
    top = ball[tuple(size // 2 for size in ball.shape)]
    background = np.full(image.shape, np.inf, np.float32)
    planes = range(len(image))[wanted]
    for z, plane in enumerate(image):
        for distance, disc in enumerate(ball[reach:]):
            sides = {side for side in (z - distance, z + distance) if side in planes}
            if not sides:
                continue
            rolled = engine.rolling_ball(_upload(plane, engine), disc[np.newaxis])
            drop = top - disc[disc.shape[0] // 2, disc.shape[1] // 2]
            apex = engine.to_numpy(rolled)[0] + drop
            for side in sides:
                np.minimum(background[side], apex, out=background[side])
        advance()
    return background[wanted]


def _ball(radii: tuple[float, ...], shape: tuple[int, ...], engine: Engine) -> Floats:
    """Height of the upper half of an ellipsoid, infinite off it, as high as it is wide along x.

    It ends where it would be outside of the image from everywhere within.
    """
    reach = [min(int(radius), size - 1) for radius, size in zip(radii, shape, strict=True)]
    voxels = math.prod(2 * n + 1 for n in reach)
    engine.require(32 * voxels, 0, f"A ball of {voxels} voxels")
    grid = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    distance = sum((axis / max(radius, 1.0)) ** 2 for axis, radius in zip(grid, radii, strict=True))
    height = radii[-1] * np.sqrt(np.clip(1.0 - distance, 0.0, None))
    return np.where(distance <= 1.0, height, np.inf).astype(np.float32)


def _radii(
    radius: float | None, spacing: tuple[float, ...] | None, shape: tuple[int, ...]
) -> tuple[float, ...]:
    """Radius in voxels along each axis."""
    steps = spacing or (1.0,) * len(shape)
    longest = max(size * step for size, step in zip(shape, steps, strict=True))
    if radius is None:
        length = min(_DEFAULT_RADIUS * steps[-1], longest)
    else:
        length = check_number(radius, "radius")
    unit = "µm" if spacing else "voxels"
    if length < min(steps[-2:]):
        raise DeconvError(
            f"radius={radius!r} {unit} is less than a pixel: take more than the radius of the "
            "largest object."
        )
    if length > longest:
        raise DeconvError(
            f"radius={radius!r} {unit} is larger than the image, {longest:.4g} {unit}: take a "
            "little more than the radius of the largest object."
        )
    return tuple(length / step for step in steps)


def _lift(lengths: tuple[float, ...]) -> tuple[float, ...]:
    """Give the axes (y, x) a z along which nothing happens."""
    return (0.0,) * (3 - len(lengths)) + lengths


def _upload(volume: Floats, engine: Engine) -> Array:
    engine.require(4 * volume.nbytes, volume.nbytes, "Estimating the background")
    return engine.asarray(as_volume(volume))


def _counter(total: int, callback: Callback | None) -> Callable[[], None]:
    """Make a function that reports one step more each time it is called."""
    steps = iter(range(1, total + 1))

    def advance() -> None:
        if callback is not None:
            callback(Progress(next(steps), total))

    return advance

"""The part of a layer that is worked on: a level of its pyramid, and a box in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.common.large import check_room
from napari_deconv.widgets.common.layers import letters, micrometres, placement, space_axes

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

__all__ = ["Part", "psf_for", "read_psf", "seen", "single", "surroundings", "whole"]

_LEAST = 8  # voxels of a part in view, along each axis that is shown


@dataclass(frozen=True, eq=False)
class Part:
    """Voxels of a layer, read only by ``np.asarray``: in a thread, if they are lazy.

    Attributes
    ----------
    layer : Image or Labels
        Where they are from.
    voxels : array_like
        All of one resolution of the layer: NumPy, Dask, Zarr.
    box : tuple of slice
        Which of them.
    factors : ndarray
        How many voxels of the full resolution lie along a voxel, for each axis.
    level : int
        The resolution; 0 is the full one.
    """

    layer: Image | Labels
    voxels: Any
    box: tuple[slice, ...]
    factors: npt.NDArray[np.float64]
    level: int = 0

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Read the voxels, if there is memory for them."""
        check_room(self)
        return np.array(self.voxels[self.box], dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(part.stop - part.start for part in self.box)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.box)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its resolution."""
        return self.shape == tuple(self.voxels.shape)

    @property
    def name(self) -> str:
        """The layer's name, with the level and "region" where it is not all of the layer."""
        level = [f"level {self.level}"] if self.level else []
        less = ", ".join([*level, *([] if self.is_whole else ["region"])])
        return f"{self.layer.name} ({less})" if less else str(self.layer.name)

    @property
    def extent(self) -> str:
        """Say how large it is."""
        *planes, rows, columns = self.shape[-space_axes(self.layer) :]
        depth = f", {planes[0]} plane{'s' if planes[0] > 1 else ''}" if planes else ""
        return f"{rows} × {columns} pixels{depth}"

    def grown(self, margins: Sequence[int]) -> Part:
        """Take up to so many voxels more on either side, along the last axes."""
        box = list(self.box)
        for axis, margin in enumerate(margins, start=self.ndim - len(margins)):
            low, high = box[axis].start - margin, box[axis].stop + margin
            box[axis] = slice(max(low, 0), min(high, self.voxels.shape[axis]))
        return replace(self, box=tuple(box))

    def where(self, other: Part) -> Part:
        """Take these voxels where a part of another layer is, if both have the same voxels."""
        if tuple(self.voxels.shape) != tuple(other.voxels.shape[-self.ndim :]):
            return self
        return replace(self, box=other.box[-self.ndim :])

    def within(self, other: Part) -> tuple[slice, ...]:
        """Say where in the voxels of a larger part these are."""
        return tuple(
            slice(own.start - its.start, own.stop - its.start)
            for own, its in zip(self.box, other.box, strict=True)
        )

    def placement(self) -> dict[str, Any]:
        """Collect what makes a layer of these voxels lie exactly where they are."""
        options = placement(self.layer)
        start = np.array([part.start for part in self.box]) * self.factors
        corner = self.layer.affine.inverse(self.layer.data_to_world(start))
        return options | {"scale": options["scale"] * self.factors, "translate": corner}


def whole(layer: Image | Labels | None, purpose: str, level: int = 0) -> Part:
    """Take all of a layer of voxels.

    Parameters
    ----------
    layer : Image, Labels or None
        The layer; nothing is read from it yet.
    purpose : str
        What the image is for, in the message when there is none.
    level : int
        Of a multiscale layer, 0 for the full resolution.

    Raises
    ------
    DeconvError
        If no layer is chosen, if it is RGB, or if something lies between its z and its y.
    """
    if layer is None:
        raise DeconvError(f"No {purpose} is chosen: open one, then choose it above.")
    if getattr(layer, "rgb", False):
        raise DeconvError(
            f"“{layer.name}” is an RGB picture: split it into channels (right click on the layer), "
            "then choose one."
        )
    axes = letters(layer)
    if "Z" in axes[:-3]:
        raise DeconvError(_wrong_order(layer, axes))
    voxels, factors = layer.data, np.ones(layer.ndim)
    if layer.multiscale:
        voxels, factors = layer.data[level], np.array(layer.downsample_factors[level], dtype=float)
    return Part(layer, voxels, tuple(slice(0, n) for n in voxels.shape), factors, level)


def _wrong_order(layer: Image | Labels, axes: str) -> str:
    """Say what to do with a stack whose planes are apart, as ImageJ writes several channels."""
    given = f"“{layer.name}” has the axes {', '.join(axes.lower())}: expected z, y, x at the end."
    if axes[-3] != "C":
        return f"{given} Change their order where it was saved, then open it again."
    path = layer.source.path or "the file"
    return (
        f"{given} Open its channels as layers: in napari's console, type "
        f'viewer.open(r"{path}", channel_axis={axes.index("C")}).'
    )


def single(layer: Image | None, purpose: str, level: int = 0) -> Part:
    """Take all of an image layer that has to be one plane or one stack.

    Raises
    ------
    DeconvError
        As `whole`, and if the layer has other axes than those of space.
    """
    part = whole(layer, purpose, level)
    if part.ndim > space_axes(part.layer):
        raise DeconvError(
            f"“{part.layer.name}” has {part.ndim} axes, a series in time or channel: split it "
            "(right click on the layer, Split Stack), then choose one."
        )
    return part


def psf_for(image: Part, layer: Image | None) -> Part:
    """Take all of the layer that is to be the PSF of an image.

    Raises
    ------
    DeconvError
        If it is none, the image itself, or has more axes than the image has of space.
    """
    if layer is image.layer:
        raise DeconvError(
            f"“{layer.name}” is chosen as the image and as the PSF: choose another one for one of "
            "them."
        )
    psf = whole(layer, "PSF")
    if psf.ndim > space_axes(image.layer):
        raise DeconvError(
            f"“{image.layer.name}” is planes (y, x), the PSF has {psf.ndim} axes: choose a PSF of "
            "one plane."
        )
    return psf


def read_psf(psf: Part, psf_spacing: Any, own_psf: bool) -> Psf | npt.NDArray[Any]:
    """Read a PSF; one that was not made here may be a raw recording."""
    points: Any = np.asarray(psf)
    if not own_psf:
        points, _ = repair_psf(points)
    return points if psf_spacing is None else Psf(points, psf_spacing)


def seen(viewer: ViewerModel, part: Part, half_depth: int, most: int) -> Part:
    """Cut out what the canvas shows: the visible field, and the planes around the current one.

    Parameters
    ----------
    viewer : ViewerModel
        Says what is in view.
    part : Part
        All of a layer.
    half_depth : int
        How many planes to take on either side of the current one.
    most : int
        Voxels to take at most; a larger field is cut down around its middle.

    Raises
    ------
    DeconvError
        If hardly anything of the layer is in view.
    """
    layer, count = part.layer, space_axes(part.layer)
    first = part.ndim - count
    current = _in_layer(viewer, layer, viewer.dims.point) / part.factors
    corners = _corners(viewer, layer) / part.factors
    shown = [axis - viewer.dims.ndim + part.ndim for axis in viewer.dims.displayed]
    box = []
    for axis, size in enumerate(part.shape):
        if axis in shown:
            low, high = np.floor(corners[:, axis].min()), np.ceil(corners[:, axis].max()) + 1
        else:
            reach = half_depth if axis >= first else 0
            middle = round(min(max(current[axis], 0), size - 1))
            low, high = middle - reach, middle + reach + 1
        box.append(slice(int(max(low, 0)), int(min(high, size))))
    box[first:] = _cut_down(box[first:], most)
    if any(box[axis].stop - box[axis].start < min(_LEAST, part.shape[axis]) for axis in shown):
        raise DeconvError(f"Hardly anything of “{layer.name}” is in view.")
    return replace(part, box=tuple(box))


def surroundings(part: Part, most: int) -> Part:
    """Take more around a part, for what is measured on the image as a whole.

    Parameters
    ----------
    part : Part
        What is in view, of a series one volume.
    most : int
        Voxels to take at most, where the part itself has not more: planes in full as long as
        they are not too large.
    """
    first = part.ndim - space_axes(part.layer)
    plane = _cut_down([slice(0, n) for n in part.voxels.shape[-2:]], most)
    box = [*part.box[:-2], *plane]
    if part.ndim - first == 3:
        pixels = np.prod([each.stop - each.start for each in plane])
        reach = int(most // pixels - 1) // 2
        middle = (box[first].start + box[first].stop) // 2
        low, high = min(middle - reach, box[first].start), max(middle + reach + 1, box[first].stop)
        box[first] = slice(max(low, 0), min(high, part.voxels.shape[first]))
    joined = zip(box, part.box, strict=True)
    box = [slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in joined]
    return replace(part, box=tuple(box))


def _corners(viewer: ViewerModel, layer: Image) -> npt.NDArray[np.float64]:
    """Find the voxels in the corners of the canvas; those of the layer if the view is 3-D."""
    if viewer.dims.ndisplay == 3:
        return np.array(layer.extent.data)
    rows_and_columns = list(viewer.dims.displayed)
    centre = np.array(viewer.scene.camera.center[-2:])
    half = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / 2
    corners = []
    for signs in product((-1, 1), repeat=2):
        point = np.array(viewer.dims.point)
        point[rows_and_columns] = centre + signs * half
        corners.append(_in_layer(viewer, layer, point))
    return np.array(corners)


def _in_layer(viewer: ViewerModel, layer: Image, point: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Find the voxel at a point of the viewer's world, whose units may be others."""
    place = np.asarray(point, dtype=float)[-layer.ndim :]
    if viewer.layers.units is not None:
        units = viewer.layers.units[-layer.ndim :]
        place = place * micrometres(units) / micrometres(layer.units)
    return np.array(layer.world_to_data(place))


def _cut_down(box: Sequence[slice], most: int) -> list[slice]:
    """Narrow a box about its middle, along y and x, until it has not more than `most` voxels."""
    sizes = np.array([part.stop - part.start for part in box], dtype=float)
    planes = max(1.0, float(np.prod(sizes[:-2])))
    side = np.sqrt(most / planes)
    wanted = sizes.copy()
    small = sizes[-2:].min()
    if np.prod(sizes) > most:
        side = side if small >= side else most / planes / max(small, 1)
        wanted[-2:] = np.minimum(sizes[-2:], np.floor(side))
    return [
        slice(part.start + int(size - want) // 2, part.start + int(size - want) // 2 + int(want))
        for part, size, want in zip(box, sizes, wanted, strict=True)
    ]

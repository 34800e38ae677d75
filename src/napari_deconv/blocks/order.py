"""What is to be done to each tile, checked, without any image: it goes to a worker once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from napari_deconv.deconvolution.front_door import with_defaults
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.points import prepare_psfs
from napari_deconv.deconvolution.settings import check_settings
from napari_deconv.engines import get_engine
from napari_deconv.errors import WholeImageError
from napari_deconv.psf.psf import Psf

__all__ = ["Order", "check_for_tiles", "check_order"]

_NOT_FOR_TILES = {
    "initial": "tiles start from the same light everywhere. Use deconvolve on a crop to go on from "
    "a result.",
    "keep_every": "only the last estimate of a tile is kept. Use deconvolve on a crop.",
    "symmetric_psf": "the PSF is not estimated from tiles. Use method='blind' of deconvolve on a "
    "crop, and pass the PSF that it finds.",
}

# A step, a threshold or a draw that depends on the whole image is another one in each tile: volumes
# are done in one piece. Seams measured, of the maximum: on simulated bars Biggs 0.1, ICTM 0.05,
# FISTA 0.1; on simulated cells in widefield Tikhonov 0.08, inverse 0.03.
_WHOLE_IMAGE_ONLY = {
    "method": {
        "ictm": "its conjugate gradients follow the whole image. Use 'nnls' or 'richardson_lucy'",
        "fista": "its threshold follows the brightest voxel, its momentum the whole image. Use "
        "'nnls', or 'richardson_lucy' with regularization='tv'",
        "gradient_consensus": "it draws photons at random, other ones in each tile. Use "
        "'richardson_lucy' with stop='consensus'",
        "inverse": "what the PSF hardly passes it takes from however far. Use 'wiener'",
        "tikhonov": "what the PSF does not pass it takes from however far. Use 'wiener'",
    },
    "acceleration": {
        "biggs": "how far it goes follows the whole image. Use 'heavy_ball'",
        "wiener_butterworth": "it ends its first steps by the whole image. Use 'heavy_ball'",
    },
    "boundary": dict.fromkeys(
        ("circular", "reflect", "zero"),
        "the borders of tiles lie in the image. Use 'padded' or 'half_padded'",
    ),
}


@dataclass(frozen=True)
class Order:
    """What is to be done to each tile; it can be pickled.

    Attributes
    ----------
    settings : dict
        What `Options` holds but for the engine.
    engine : str
        Each process takes its own engine of this name.
    ndim : int
        Axes that are space.
    """

    settings: dict[str, Any]
    engine: str
    ndim: int

    @property
    def whole(self) -> str:
        """Why a volume has to be done in one piece; empty if it may be cut."""
        for name, reasons in _WHOLE_IMAGE_ONLY.items():
            value = self.settings[name]
            if value in reasons:
                return f"{name}={value!r} is not for tiles: {reasons[value]}."
        return ""

    @property
    def cut_axes(self) -> tuple[int, ...]:
        """Space axes that may be cut: not z where the PSF changes with depth."""
        return () if self.whole else tuple(range(len(self.settings["depths"]) > 1, self.ndim))

    @property
    def options(self) -> Options:
        """The options, with the engine of this process."""
        return Options(**self.settings, engine=get_engine(self.engine))

    def weighing(self, weight: float) -> Order:
        """Give the same with a weight that was found."""
        return replace(self, settings=self.settings | {"weight": weight})


def check_order(psf: Psf | npt.ArrayLike | Sequence[Psf], image_ndim: int, given: Any) -> Order:
    """Check the options of `deconvolve` for tiles.

    Parameters
    ----------
    psf : Psf, array_like or sequence of Psf
        As `deconvolve` takes it.
    image_ndim : int
        Axes of the image.
    given : dict
        Options of `deconvolve`; what is missing has its default there.

    Raises
    ------
    DeconvError
        If an option is none of its kind.
    WholeImageError
        If it is not for tiles, however large.
    """
    options = with_defaults(given)
    check_for_tiles(given)
    spacing, centre, engine, depths = (
        options.pop(name) for name in ("spacing", "centre_psf", "engine", "depths")
    )
    options.pop("background")
    settings = check_settings(depths=depths, **options)
    points = prepare_psfs(psf, image_ndim, spacing, centre, depths, settings["boundary"])
    get_engine(engine)
    key = engine if isinstance(engine, str) else engine.device.key
    return Order(settings | points.settings, key, points.ndim)


def check_for_tiles(given: Mapping[str, Any]) -> None:
    """Check that what the options ask for can be had of tiles, and of volumes in one piece.

    Raises
    ------
    WholeImageError
        If it cannot.
    """
    for name, reason in _NOT_FOR_TILES.items():
        value = given.get(name)
        if value is not None and value is not False:
            raise WholeImageError(f"{name} is not for tiles: {reason}")
    if given.get("method") == "blind":
        raise WholeImageError(
            "method='blind' is not for tiles: each tile would find a PSF of its own. Find it on a "
            "crop with deconvolve(…, method='blind'), and pass its .psf."
        )

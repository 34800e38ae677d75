"""Beads as a Points layer, and a Points layer as beads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.beads import Beads
from napari_deconv.beads.table import ACCEPTED
from napari_deconv.widgets.layers import placement, provenance

if TYPE_CHECKING:
    from napari.layers import Image, Points

__all__ = ["bead_options", "read_beads"]

_SIZE = 12
_COLOURS = {True: "lime", False: "orange"}


def bead_options(beads: Beads, source: Image, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the options of a Points layer: circles, accepted green, rejected orange with reason.

    The layer's features are `Beads.to_dataframe` without the positions, which are its data.
    """
    table = beads.to_dataframe()
    columns = [name for name in table if name not in ("z", "y", "x", "z_um", "y_um", "x_um")]
    features = table[columns].assign(reason=np.where(beads.accepted, "", beads.status))
    return {
        "name": f"{source.name} · beads",
        "features": features,
        "size": _SIZE,
        "face_color": "transparent",
        "border_color": [_COLOURS[bool(accepted)] for accepted in beads.accepted],
        "border_width": 0.1,
        "text": {
            "string": "{reason}",
            "color": "orange",
            "size": 8,
            "translation": np.eye(source.ndim)[-1] * _SIZE,
        },
        "metadata": provenance(recipe, "beads", source),
        **placement(source),
    }


def read_beads(points: Points, image: Image, spacing: tuple[float, ...]) -> Beads:
    """Read the points of a layer, which the user may have moved, deleted and added, as beads.

    Points without a status, such as those added by hand, are accepted and as bright as the
    median of the others.
    """
    places = [image.world_to_data(points.data_to_world(place)) for place in points.data]
    features = points.features
    n, axes = len(places), ("z", "y", "x")[-len(spacing) :]

    def column(name: str, default: float) -> Any:
        if name not in features:
            return np.full(n, default)
        values = features[name].to_numpy(dtype=float)
        return np.where(np.isnan(values), np.nanmedian(values), values)

    def columns(template: str) -> Any:
        return np.stack([column(template.format(axis), 0.0) for axis in axes], axis=1)

    status = features["status"].fillna(ACCEPTED) if "status" in features else [ACCEPTED] * n
    return Beads(
        positions=np.array(places, dtype=float).reshape(n, len(axes)),
        flux=column("flux", 1.0),
        height=column("height", 1.0),
        background=column("background", 0.0),
        fwhm=columns("fwhm_{}_um"),
        r_squared=columns("r_squared_{}"),
        status=np.array(status, dtype=str),
        spacing=spacing,
    )

"""Beads as a Points layer, and a Points layer as beads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.beads import Beads
from napari_deconv.beads.table import ACCEPTED
from napari_deconv.errors import DeconvError

if TYPE_CHECKING:
    from napari.layers import Points
    from pandas import DataFrame

    from napari_deconv.widgets.common.parts import Part

__all__ = [
    "ACCEPTED_COLOUR",
    "REASONS",
    "bead_features",
    "bead_options",
    "letter_by_letter",
    "read_beads",
]

REASONS = {
    "edge": "cut",
    "neighbour": "close neighbour",
    "saturated": "saturated",
    "brightness": "odd brightness",
    "doublet": "doublet",
    "fit": "poor fit",
    "correlation": "unlike the others",
}
"""Why a bead is rejected: the status of `Beads`, and the words for it."""

_CIRCLE = 3.0
"""Diameter of a circle, in FWHM of the beads."""
ACCEPTED_COLOUR = "lime"
"""Of a circle around a bead that is used."""

_REJECTED_COLOUR = "orange"

_drawn: set[str] = set()


def bead_features(beads: Beads) -> DataFrame:
    """Make the features of a Points layer: `Beads.to_dataframe` without the positions, its data.

    Called in a thread: to import pandas takes a tenth of a second.
    """
    table = beads.to_dataframe()
    columns = [name for name in table if name not in ("z", "y", "x", "z_um", "y_um", "x_um")]
    return table[columns].assign(reason=[REASONS.get(status, "") for status in beads.status])


def bead_options(
    beads: Beads, features: DataFrame, part: Part, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Collect the options of a Points layer: circles, accepted green, rejected orange with reason.

    Parameters
    ----------
    beads : Beads
        The beads, in voxels of `part`.
    features : DataFrame
        What `bead_features` makes of them.
    part : Part
        Where they are.
    metadata : mapping
        Of the layer.
    """
    size = _circle(beads)
    return {
        "name": f"{part.name} · beads",
        "features": features,
        "feature_defaults": _of_added(features),
        "size": size,
        "face_color": "transparent",
        "border_color": [
            ACCEPTED_COLOUR if accepted else _REJECTED_COLOUR for accepted in beads.accepted
        ],
        "border_width": 0.1,
        "text": {
            "string": "{reason}",
            "color": _REJECTED_COLOUR,
            "size": 7,
            "anchor": "upper_left",
            "translation": np.eye(part.ndim)[-1] * size / 2,
        },
        "metadata": metadata,
        **part.placement(),
    }


def letter_by_letter(text: Mapping[str, Any], features: DataFrame) -> list[Mapping[str, Any]]:
    """Give the text of `bead_options` in steps that hold the window up for a short time each.

    What comes before the text itself is unseen: a letter that napari has not drawn before takes it
    some 15 ms.
    """
    letters = sorted(set("".join(features["reason"])) - _drawn)
    _drawn.update(letters)
    unseen = [{**text, "string": {"constant": each}, "color": "transparent"} for each in letters]
    return [*unseen, text]


def _of_added(features: DataFrame) -> dict[str, Any]:
    """Give the features of a point that the user adds: accepted, and nothing measured."""
    return dict.fromkeys(features, np.nan) | {"status": ACCEPTED, "reason": ""}


def _circle(beads: Beads) -> float:
    """Find a diameter in voxels that goes around a bead."""
    widths = beads.fwhm[:, -1] / (1.0 if beads.spacing is None else beads.spacing[-1])
    widths = widths[widths > 0]
    return _CIRCLE * float(np.median(widths)) if len(widths) else 12.0


def read_beads(points: Points, image: Part, spacing: tuple[float, ...]) -> Beads:
    """Read the points of Bead detection, which the user may have moved, deleted and added to.

    Points added by hand are accepted; what was measured of the others, they have the median of.

    Parameters
    ----------
    points : Points
        The layer.
    image : Part
        All of the image that the beads lie in.
    spacing : tuple of float
        Its voxel size in µm.

    Raises
    ------
    DeconvError
        If nothing has been measured of any point.
    """
    features = points.features
    axes = "zyx"[-len(spacing) :]
    if "status" not in features or not features["status"].notna().any():
        raise DeconvError(
            f"“{points.name}” holds no measured beads: choose the points of Bead detection, or "
            "automatic."
        )

    def columns(*names: str) -> Any:
        table = features[list(names)].astype(float)
        return table.fillna(table.median()).to_numpy()

    places = [
        image.layer.world_to_data(points.data_to_world(place)) / image.factors
        for place in points.data
    ]
    flux, height, background = columns("flux", "height", "background").T
    return Beads(
        positions=np.array(places, dtype=float),
        flux=flux,
        height=height,
        background=background,
        fwhm=columns(*(f"fwhm_{axis}_um" for axis in axes)),
        r_squared=columns(*(f"r_squared_{axis}" for axis in axes)),
        status=features["status"].fillna(ACCEPTED).to_numpy(dtype=str),
        spacing=spacing,
    )

"""What is known about the beads of an image, and the rules a bead has to pass."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_spacing
from napari_deconv.errors import DeconvError
from napari_deconv.files import replacing

if TYPE_CHECKING:
    import pandas

__all__ = ["ACCEPTED", "Beads", "Rejection"]

ACCEPTED = "accepted"

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rejection:
    """The rules a bead has to pass; each can be switched off.

    Attributes
    ----------
    edge : bool
        Reject beads less than 1.5 FWHM from a border in x and y, or `edge_distance` in z.
    neighbour : bool
        Reject beads with another within `neighbour_distance` that is not much dimmer.
    saturated : bool
        Reject beads where 3 or more touching voxels have the image's top value.
    brightness : bool
        Reject beads whose flux is outside `brightness_range` × median.
    doublet : bool
        Reject beads wider than `doublet_ratio` × median along any axis.
    fit : bool
        Reject beads where a Gaussian explains too little of an axis profile.
    correlation : bool
        Reject beads that do not look like the median bead (needs at least 3 beads).
    edge_distance : float
        In µm. Without a voxel size it is replaced by 2 FWHM.
    neighbour_distance : float
        In µm; 30·λ/(2π·NA) is a good choice if that is larger. Without a voxel size it is replaced
        by 5 FWHM.
    neighbour_height : float
        A neighbour counts if it is higher than this share of the bead's height.
    brightness_range : tuple of float
        Lowest and highest flux, in medians.
    doublet_ratio : float
        Largest FWHM, in medians.
    r_squared_lateral, r_squared_axial : float
        Smallest R² of the fits along x and y, and along z.
    correlation_limit : float
        Smallest Pearson correlation with the median bead.

    Notes
    -----
    Medians are over the beads that have passed the rules before and have good fits. What noise
    takes from R² and correlation, and adds to the width, is allowed for: dim beads are not rejected
    for being noisy.
    """

    edge: bool = True
    neighbour: bool = True
    saturated: bool = True
    brightness: bool = True
    doublet: bool = True
    fit: bool = True
    correlation: bool = True
    edge_distance: float = 2.0
    neighbour_distance: float = 2.0
    neighbour_height: float = 0.1
    brightness_range: tuple[float, float] = (0.4, 2.5)
    doublet_ratio: float = 1.3
    r_squared_lateral: float = 0.9
    r_squared_axial: float = 0.8
    correlation_limit: float = 0.9


@dataclass(frozen=True, eq=False)
class Beads:
    """The beads of an image, accepted or not, brightest first.

    Attributes
    ----------
    positions : ndarray (n, 3) or (n, 2)
        Centres (z, y, x) or (y, x) in voxels, sub-pixel; whole numbers are voxel centres.
    flux : ndarray (n,)
        Sum of the grey values above the background within ±1.5 FWHM.
    height : ndarray (n,)
        Largest grey value above the background.
    background : ndarray (n,)
        Grey value below the bead: what was given, else the median around its box.
    fwhm : ndarray (n, 3) or (n, 2)
        Full width at half maximum of Gaussian fits to the axis profiles, in µm, in voxels if
        `spacing` is None; 0 where there was nothing to fit.
    r_squared : ndarray (n, 3) or (n, 2)
        R² of these fits; 0 where there was nothing to fit.
    status : ndarray of str (n,)
        ``"accepted"``, or the first rule that was not passed: ``"edge"``, ``"neighbour"``,
        ``"saturated"``, ``"brightness"``, ``"doublet"``, ``"fit"`` or ``"correlation"``.
    spacing : tuple of float or None
        Voxel size in µm.
    """

    positions: Doubles
    flux: Doubles
    height: Doubles
    background: Doubles
    fwhm: Doubles
    r_squared: Doubles
    status: npt.NDArray[np.str_]
    spacing: tuple[float, ...] | None

    def __len__(self) -> int:
        """Count all beads, accepted or not."""
        return len(self.positions)

    @property
    def accepted(self) -> npt.NDArray[np.bool_]:
        """Which beads passed all rules."""
        accepted: npt.NDArray[np.bool_] = self.status == ACCEPTED
        return accepted

    @property
    def counts(self) -> dict[str, int]:
        """How many beads have each status, those accepted first."""
        found = Counter(self.status.tolist())
        return {ACCEPTED: found.pop(ACCEPTED, 0), **dict(found.most_common())}

    @property
    def summary(self) -> str:
        """The counts in words, as ``5 accepted, 2 edge``."""
        return ", ".join(f"{count} {status}" for status, count in self.counts.items())

    def to_dataframe(self) -> pandas.DataFrame:
        """Put everything in a table, one row a bead.

        Returns
        -------
        pandas.DataFrame
            Columns z, y, x (voxels); z_um, y_um, x_um where the voxel size is known; flux, height,
            background; fwhm_z_um, … or fwhm_z_voxels, …; r_squared_z, …; status. No z in 2-D.
        """
        import pandas

        axes = ("z", "y", "x")[-self.positions.shape[1] :]
        unit = "voxels" if self.spacing is None else "um"
        columns: dict[str, Any] = dict(zip(axes, self.positions.T, strict=True))
        if self.spacing is not None:
            places = self.positions * self.spacing
            columns |= {f"{axis}_um": places[:, i] for i, axis in enumerate(axes)}
        columns |= {"flux": self.flux, "height": self.height, "background": self.background}
        columns |= {f"fwhm_{axis}_{unit}": self.fwhm[:, i] for i, axis in enumerate(axes)}
        columns |= {f"r_squared_{axis}": self.r_squared[:, i] for i, axis in enumerate(axes)}
        return pandas.DataFrame(columns | {"status": self.status})

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table of `to_dataframe` as comma-separated values.

        The file appears under its name only when it is complete.

        Parameters
        ----------
        path : path-like
            File to write.

        Raises
        ------
        DeconvError
            If it cannot be written.
        """
        with replacing(path) as temporary:
            self.to_dataframe().to_csv(temporary, index=False)

    @classmethod
    def from_csv(
        cls, path: str | os.PathLike[str], spacing: float | Sequence[float] | None = None
    ) -> Beads:
        """Read what `to_csv` has written.

        Parameters
        ----------
        path : path-like
            The table.
        spacing : float or sequence of float, optional
            Voxel size (z, y, x) or (y, x) in µm, which the table does not state.

        Raises
        ------
        DeconvError
            If it cannot be read, is no such table, or its widths are in another unit.
        """
        try:
            with Path(path).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError) as error:
            raise DeconvError(f"{path} cannot be read as a table: {error}.") from error
        names = rows[0] if rows else {}
        axes = [axis for axis in "zyx" if axis in names]
        unit = "um" if "x_um" in names else "voxels"
        if (spacing is None) != (unit == "voxels"):
            raise DeconvError(f"The widths in {path} are in {unit}: spacing={spacing!r}.")

        def columns(*wanted: str) -> Doubles:
            return np.array([[float(row[name]) for name in wanted] for row in rows])

        try:
            flux, height, background = columns("flux", "height", "background").T
            return cls(
                positions=columns(*axes),
                flux=flux,
                height=height,
                background=background,
                fwhm=columns(*(f"fwhm_{axis}_{unit}" for axis in axes)),
                r_squared=columns(*(f"r_squared_{axis}" for axis in axes)),
                status=np.array([row["status"] for row in rows]),
                spacing=check_spacing(spacing, len(axes)),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DeconvError(f"{path} is no table of beads: {error}.") from error

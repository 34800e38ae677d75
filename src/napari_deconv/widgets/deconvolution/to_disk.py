"""The button that runs all of an image to the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_deconv.blocks.order import check_for_tiles
from napari_deconv.files.unfinished import begun
from napari_deconv.widgets.deconvolution.disk import check_new, run_to_disk, target_of
from napari_deconv.widgets.deconvolution.words import short_name

if TYPE_CHECKING:
    from napari_deconv.widgets.common.inputs import Inputs
    from napari_deconv.widgets.common.parts import Part

__all__ = ["DiskButton"]


class DiskButton(QPushButton):
    """Asks for the file of a run to the disk, and tells how the run goes on.

    Attributes
    ----------
    path : Path or None
        What the last run was written to; None if it was not to the disk.
    """

    told = Signal(str)

    def __init__(self) -> None:
        super().__init__("Run all to disk…")
        self.setToolTip(
            "Deconvolves all of the image in tiles, and writes them into an OME-Zarr one by one. "
            "If it was cancelled, the same name and settings go on."
        )
        self.path: Path | None = None

    def prepare(
        self, source: Part, psf: Part, inputs: Inputs, given: Mapping[str, Any]
    ) -> Callable[..., Any] | None:
        """Ask for the name of a file; give what to call in the thread, None if there is no name.

        Raises
        ------
        DeconvError
            Before it asks, if this is not for tiles; then if the file cannot be written.
        """
        check_for_tiles(given)
        proposed = target_of(source.layer, short_name(given["method"]))
        name, _ = QFileDialog.getSaveFileName(
            self, "Run all to disk", str(proposed), "OME-Zarr (*.zarr)"
        )
        if not name:
            return None
        self.path = check_new(Path(name))
        return partial(run_to_disk, source, psf, inputs, self.path, self.told.emit, **given)

    def describe_cancelled(self) -> str:
        """Say what a cancelled run to the disk has left; nothing where there is nothing."""
        if self.path is None:
            return ""
        if self.path.exists():
            return f"{self.path.name} was complete by then."
        if begun(self.path) is None:
            return ""
        return (
            "The tiles that are written are kept. Run all to disk as "
            f"{self.path.name} again, and it goes on."
        )

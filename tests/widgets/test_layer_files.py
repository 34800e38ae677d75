"""Files by others and by us: opened with napari's own readers, used, saved, and used again."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from hand import SPACING, blob
from kinds import SERIES, STACK
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_deconv import Psf, deconvolve
from napari_deconv.files import read_image, write_image
from napari_deconv.widgets.common.layers import KEY, letters, origin, role, spacing

pytestmark = pytest.mark.usefixtures("dask_in_place")

POINTS = blob((9, 11, 11), (4, 5, 5)).astype(np.float32)
SIZES = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SPACING, strict=True)}
UM = {"scale": SPACING, "units": ("µm",) * 3}


def imagej(path, data, axes, **more):
    tifffile.imwrite(
        path, data, imagej=True, resolution=(1 / SPACING[2], 1 / SPACING[1]),
        metadata={"axes": axes, "unit": "um", "spacing": SPACING[0], **more},
    )  # fmt: skip


def ome(path, data, axes, **more):
    tifffile.imwrite(
        path, data, ome=True, photometric="minisblack", metadata={"axes": axes, **SIZES, **more}
    )


def ngff(path, data, axes):
    """Write an OME-Zarr 0.4 as others do."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=data)
    kinds = {"t": "time", "c": "channel"}
    scale = [dict(zip("zyx", SPACING, strict=True)).get(axis, 1.0) for axis in axes.lower()]
    names = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes.lower()]
    for name in names:
        if name["type"] == "space":
            name["unit"] = "micrometer"
    steps = [{"type": "scale", "scale": scale}]
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": names,
         "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    ]  # fmt: skip


WRITERS = {".tif": imagej, ".ome.tif": ome, ".ome.zarr": ngff}


@pytest.fixture
def opened(viewer, tmp_path):
    def open_it(ending, data, axes, name="cells", **more):
        path = tmp_path / f"{name}{ending}"
        WRITERS[ending](path, data, axes, **more)
        return viewer.open(str(path), plugin="napari")[0], path

    return open_it


@pytest.mark.parametrize("ending", WRITERS)
def test_a_stack_of_others_is_deconvolved_saved_and_used_again(
    viewer, open_widget, opened, tmp_path, ending, said
):
    viewer.add_image(POINTS, name="PSF", **UM)
    layer, path = opened(ending, STACK, "ZYX")
    assert spacing(layer) == pytest.approx(SPACING)
    hand = open_widget("Deconvolution")
    assert hand.widget.image.value == layer
    assert hand.widget.voxel_size.value(3) == pytest.approx(SPACING)
    assert not hand.widget.voxel_size.note.value
    hand.widget.settings.iterations.value = 3
    hand.widget.settings.stop.value = None
    hand.widget.region.value = "all"
    hand.run()
    result = viewer.layers[-1]
    assert result.name == f"{layer.name} · RL 3"
    expected = deconvolve(
        STACK, Psf(POINTS, SPACING), spacing=hand.widget.voxel_size.value(3), iterations=3,
        levels="auto",
    ).image  # fmt: skip
    np.testing.assert_array_equal(result.data, expected)
    assert result.metadata[KEY]["inputs"]["image"] == {"path": str(path.resolve())}
    assert letters(result) == "ZYX"
    for saved in (tmp_path / "result.ome.tif", tmp_path / "result.ome.zarr"):
        result.save(str(saved), plugin="napari-deconv")
        assert read_image(saved).spacing == pytest.approx(SPACING)
        again = viewer.open(str(saved), plugin="napari")[0]
        assert (role(again), spacing(again)) == ("result", pytest.approx(SPACING))
        np.testing.assert_array_equal(np.asarray(again.data), expected)
    assert not [text for text in said() if "Inconsistent units" not in text]  # of the PSF: napari's


@pytest.mark.parametrize("ending", WRITERS)
def test_planes_of_several_channels_are_a_series(viewer, open_widget, opened, ending):
    layer, _ = opened(ending, STACK[:3], "CYX")
    assert (letters(layer), spacing(layer)) == ("CYX", pytest.approx(SPACING[1:]))
    widget = open_widget("Synthetic PSF").widget
    assert widget.size.value == "193 × 193"


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
def test_time_lapses_say_their_step(opened, ending):
    step = {"finterval": 2.0} if ending == ".tif" else {"TimeIncrement": 2.0}
    assert letters(opened(ending, STACK, "TYX", **step)[0]) == "TYX"
    assert letters(opened(ending, STACK, "TYX", name="z, called t")[0]) == "ZYX"


@pytest.mark.parametrize("ending", [".tif", ".ome.tif"])
@pytest.mark.parametrize("title", ["Deconvolution", "Background subtraction", "Bead detection"])
def test_stacks_with_channels_between_the_planes(viewer, open_widget, opened, ending, title):
    """As ImageJ writes them. What the message says opens them."""
    viewer.add_image(POINTS, name="PSF", **UM)
    _, path = opened(ending, np.moveaxis(SERIES, 0, 1), "ZCYX")
    hand = open_widget(title)
    hand.click()
    line = hand.widget.result_line.text()
    assert "has the axes z, c, y, x: expected z, y, x at the end" in line
    command = f'viewer.open(r"{path}", channel_axis=1)'
    assert command in line
    channels = eval(command, {"viewer": viewer})
    for layer, channel in zip(channels, SERIES, strict=True):
        np.testing.assert_array_equal(layer.data, channel)
        assert (letters(layer), spacing(layer)) == ("ZYX", pytest.approx(SPACING))
    hand.run()
    if title == "Background subtraction":
        origin = viewer.layers[-1].metadata[KEY]["inputs"]["image"]
        assert origin == {"path": str(path.resolve()), "channel": 2}


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_a_saved_psf_is_a_psf_with_its_optics(viewer, open_widget, tmp_path, ending):
    hand = open_widget("Synthetic PSF")
    hand.widget.voxel_size.field.value = "0.2 × 0.08 × 0.08"
    hand.widget.size.value = "9 × 33 × 33"
    hand.widget.optics.numbers["na"].value = 1.2
    hand.run()
    saved = tmp_path / f"mine{ending}"
    viewer.layers[-1].save(str(saved), plugin="napari-deconv")
    made = viewer.layers[-1].data
    viewer.layers.clear()
    write_image(tmp_path / "cells.tif", STACK, SPACING)
    viewer.open(str(tmp_path / "cells.tif"), plugin="napari")
    again = viewer.open(str(saved), plugin="napari")[0]
    assert (role(again), spacing(again)) == ("psf", (0.2, 0.08, 0.08))
    np.testing.assert_array_equal(np.asarray(again.data), made)
    deconvolution = open_widget("Deconvolution").widget
    assert (deconvolution.psf.value, deconvolution.image.value.name) == (again, "cells")
    quality = open_widget("PSF quality").widget
    assert quality.image.value == again
    assert quality.optics.numbers["na"].value == 1.2


def drop(field, path):
    """Drop a file on a field of a widget."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    with_it = mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copied = Qt.DropAction.CopyAction
    QApplication.sendEvent(field.native, QDragEnterEvent(QPoint(5, 5), copied, *with_it))
    QApplication.sendEvent(field.native, QDropEvent(QPointF(5, 5), copied, *with_it))


def test_what_is_dropped_on_a_psf_field_is_a_psf(viewer, open_widget, tmp_path):
    """Whatever its name: for all widgets, with what its file says, and out of the image's way."""
    path = tmp_path / "measured.ome.tif"
    write_image(path, STACK, SPACING)
    (cells,) = viewer.open(str(path), plugin="napari")
    deconvolution = open_widget("Deconvolution").widget
    subtraction = open_widget("Background subtraction").widget
    quality = open_widget("PSF quality").widget
    drop(deconvolution.psf, path)
    measured = viewer.layers[-1]
    assert deconvolution.psf.value == quality.image.value == measured
    assert deconvolution.image.value == subtraction.image.value == cells
    assert (role(measured), role(cells)) == ("psf", "image")
    assert spacing(measured) == pytest.approx(SPACING)
    assert origin(measured) == {"path": str(path)}
    assert (cells.visible, measured.visible) == (True, False)
    drop(quality.image, path)
    assert quality.image.value == viewer.layers[-1]
    assert viewer.layers[-1].visible
    viewer.open(str(path), plugin="napari")
    assert role(viewer.layers[-1]) == "image"

"""Layers saved from the viewer, and read again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_deconv.errors import DeconvError
from napari_deconv.files import provenance_of, read_image
from napari_deconv.widgets.common.images import as_file_image, image_of
from napari_deconv.widgets.common.layers import KEY, note_made, provenance
from napari_deconv.widgets.common.parts import whole
from napari_deconv.widgets.writers import write_layer, write_layers

STACK = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
RECORD = {"operation": "make_psf", "parameters": {"na": 1.4}, "role": "psf"}


@pytest.fixture
def plugins(npe2pm):
    """napari's own writers, and ours."""
    with npe2pm.tmp_plugin(package="napari"), npe2pm.tmp_plugin(package="napari-deconv"):
        yield


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
@pytest.mark.parametrize("unit", ["µm", "nm", "pixel"])
def test_a_saved_layer_is_what_it_was(tmp_path, ending, unit):
    """Through napari's own save command, which has to choose our writer."""
    scale = np.array([0.3, 0.1, 0.11]) * (1000 if unit == "nm" else 1)
    metadata = {KEY: RECORD | ({"spacing": [0.3, 0.1, 0.11]} if unit == "pixel" else {})}
    scale = (1, 1, 1) if unit == "pixel" else scale
    viewer = ViewerModel()
    layer = viewer.add_image(STACK, scale=scale, units=(unit,) * 3, name="PSF", metadata=metadata)
    note_made(layer)
    path = tmp_path / f"saved{ending}"
    assert layer.save(str(path)) == [str(path)]
    image = read_image(path)
    np.testing.assert_array_equal(image.data, STACK)
    assert image.spacing == pytest.approx((0.3, 0.1, 0.11), rel=1e-12)
    assert (image.axes, image.name, image.metadata) == ("ZYX", "PSF", RECORD)
    known = provenance_of(path)
    assert known.pop("spacing") == pytest.approx([0.3, 0.1, 0.11], rel=1e-12)
    assert known == RECORD | {"axes": "ZYX"}


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_layers_become_channels(tmp_path, ending):
    viewer = ViewerModel()
    for number, (name, colour) in enumerate({"DAPI": "blue", "GFP": "green"}.items()):
        viewer.add_image(
            STACK + number, scale=(0.3, 0.1, 0.1), units=("µm",) * 3, name=name, colormap=colour
        )
    path = tmp_path / f"both{ending}"
    viewer.layers.save(str(path))
    image = read_image(path, channel=1)
    np.testing.assert_array_equal(image.data, STACK + 1)
    assert image.channels == ("GFP",)
    assert image.colours == ("00FF00",)
    assert image.spacing == pytest.approx((0.3, 0.1, 0.1))


@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_times_stay_times(tmp_path, ending):
    layer = Image(
        STACK, scale=(2, 0.1, 0.1), units=("min", "µm", "µm"), axis_labels=("t", "y", "x"),
        metadata={KEY: RECORD},
    )  # fmt: skip
    path = str(tmp_path / f"times{ending}")
    write_layer(path, *layer.as_layer_data_tuple()[:2])
    image = read_image(path)
    assert (image.axes, image.time_interval) == ("TYX", pytest.approx(120.0))
    assert image.spacing == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((3, 4, 5, 6), None, "CZYX"),
        ((3, 4, 5, 6), ("t", "z", "y", "x"), "TZYX"),
        ((2, 3, 4, 5, 6), None, "TCZYX"),
        ((5, 6), None, "YX"),
        ((3, 5, 6), ("channel", "y", "x"), "CYX"),
    ],
)
def test_axes(shape, labels, axes):
    layer = Image(np.zeros(shape, np.uint8), axis_labels=labels, rgb=False)
    image = image_of(*layer.as_layer_data_tuple()[:2])
    assert (image.axes, image.spacing) == (axes, None)


def test_of_a_pyramid_the_full_resolution_is_saved():
    layer = Image([STACK, STACK[:, ::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(image_of(*layer.as_layer_data_tuple()[:2]).data, STACK)


def test_a_coarse_level_has_its_own_voxels():
    """Also where only the metadata or the file say what a voxel is."""
    layer = Image(
        [STACK, STACK[:, ::2, ::2]], multiscale=True, metadata={KEY: {"spacing": [0.3, 0.1, 0.1]}}
    )
    image = as_file_image(whole(layer, "image", 1))
    np.testing.assert_array_equal(image.data, STACK[:, ::2, ::2])
    np.testing.assert_allclose(image.spacing, (0.3, 0.1 * 5 / 3, 0.2))  # of 5 rows, 3 are left


def test_what_cannot_be_saved(tmp_path):
    one, other = Image(STACK, name="one"), Image(STACK[1:], name="other")
    states = [layer.as_layer_data_tuple() for layer in (one, other)]
    with pytest.raises(DeconvError, match=r"“other” and “one” cannot be the channels"):
        write_layers(str(tmp_path / "a.ome.tif"), states)
    colour = Image(np.zeros((5, 6, 3), np.uint8), rgb=True)
    with pytest.raises(DeconvError, match="RGB"):
        image_of(*colour.as_layer_data_tuple()[:2])
    assert list(tmp_path.iterdir()) == []


def test_a_scale_without_a_unit_is_in_the_preferred_one(monkeypatch):
    from napari_deconv.widgets.common import images
    from napari_deconv.widgets.common.preferences import Preferences

    monkeypatch.setattr(images, "preferences", lambda: Preferences(unit="nm"))
    _, meta, _ = Image(np.zeros((3, 4, 5)), scale=(200, 80, 80)).as_layer_data_tuple()
    np.testing.assert_allclose(image_of(np.zeros((3, 4, 5)), meta).spacing, (0.2, 0.08, 0.08))


@pytest.mark.parametrize("unit", ["µm", "nm", "pixel"])
def test_a_scale_that_nobody_has_measured_is_no_voxel_size(unit):
    layer = Image(STACK, units=(unit,) * 3)
    assert image_of(*layer.as_layer_data_tuple()[:2]).spacing is None
    layer.metadata[KEY] = {"spacing": [1, 1, 1]}
    assert image_of(*layer.as_layer_data_tuple()[:2]).spacing == (1, 1, 1)
    layer.metadata[KEY] = RECORD
    expected = {"µm": (1, 1, 1), "nm": (1e-3,) * 3, "pixel": None}[unit]
    assert image_of(*layer.as_layer_data_tuple()[:2]).spacing == expected


def test_a_measured_layer_that_was_changed_is_not_said_to_be_measured():
    about = {"measured": "residual", "parameters": {"gain": 1.0}}
    layer = Image(STACK.copy(), metadata=provenance(about, "residual"))
    note_made(layer)
    assert image_of(*layer.as_layer_data_tuple()[:2]).metadata == about | {"role": "residual"}
    layer.data[0, 0, 0] += 1
    assert image_of(*layer.as_layer_data_tuple()[:2]).metadata == {"role": "residual"}


@pytest.mark.usefixtures("plugins")
def test_a_sample_that_was_changed_keeps_its_optics(tmp_path):
    viewer = ViewerModel()
    viewer.open_sample("napari-deconv", "bars_confocal")
    layer = viewer.layers["bars"]
    optics = layer.metadata[KEY]["optics"]
    layer.data[0, 0, 0] += 1
    path = tmp_path / "changed.ome.tif"
    layer.save(str(path))
    known = provenance_of(path)
    assert known["optics"] == optics
    assert "sample" not in known

"""Between layers and arrays: voxel size, transforms, provenance."""

from __future__ import annotations

import gc

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image

from napari_deconv.errors import DeconvError
from napari_deconv.files import write_image
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.common.fields import VoxelSize, read_numbers
from napari_deconv.widgets.common.layers import (
    KEY,
    checksum,
    note_made,
    origin,
    provenance,
    recipe_of,
    role,
    space_axes,
    spacing,
    spacing_is_certain,
    stated_spacing,
    take_away,
)
from napari_deconv.widgets.common.parts import whole
from napari_deconv.widgets.common.results import centred, on_source, psf_options

VOLUME = np.zeros((3, 4, 5))


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [("µm", 1.0), ("um", 1.0), ("nm", 1e-3), ("mm", 1e3), ("angstrom", 1e-4)],
)
def test_spacing_is_in_micrometres(unit, micrometres):
    scale = np.array([0.3, -0.108, 0.108]) / micrometres
    layer = Image(VOLUME, scale=scale, units=(unit,) * 3)
    np.testing.assert_allclose(spacing(layer), (0.3, 0.108, 0.108), rtol=1e-12)
    assert spacing_is_certain(layer)


def test_mixed_units_of_length():
    layer = Image(VOLUME, scale=(0.3, 108, 108), units=("µm", "nm", "nm"))
    np.testing.assert_allclose(spacing(layer), (0.3, 0.108, 0.108))


def test_pixels_without_scale_are_no_voxel_size():
    assert spacing(Image(VOLUME)) is None
    assert spacing(Image(VOLUME, units="pixel", scale=(1, 1, 1))) is None


def test_a_scale_without_unit_is_uncertain():
    layer = Image(VOLUME, scale=(0.3, 0.1, 0.1))
    assert spacing(layer) == (0.3, 0.1, 0.1)
    assert not spacing_is_certain(layer)


@pytest.mark.parametrize(
    ("ndim", "options", "axes"),
    [
        (2, {}, 2),
        (3, {}, 3),
        (3, {"axis_labels": ("t", "y", "x")}, 2),
        (3, {"axis_labels": ("Channel", "y", "x")}, 2),
        (3, {"units": ("second", "µm", "µm")}, 2),
        (4, {"axis_labels": ("c", "z", "y", "x")}, 3),
        (4, {"axis_labels": ("c", "t", "y", "x")}, 2),
    ],
)
def test_space_axes(ndim, options, axes):
    layer = Image(np.zeros((3, 4, 5, 6)[:ndim]), scale=(2, 3, 4, 5)[-ndim:], **options)
    assert space_axes(layer) == axes
    assert spacing(layer) == (2, 3, 4, 5)[-axes:]


def test_a_result_lies_exactly_on_its_source():
    affine = np.eye(4)
    affine[0, 3], affine[1, 2] = 7, 0.1
    source = Image(
        np.zeros((40, 40, 3)),
        rgb=False,
        scale=(300, 108, 108),
        units=("nm",) * 3,
        translate=(1, 2, 3),
        rotate=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
        shear=(0, 0, 0.3),
        affine=affine,
        axis_labels=("z", "y", "x"),
        colormap="green",
        blending="additive",
        name="cells",
    )
    metadata = provenance({"operation": "deconvolve"}, "result", source)
    result = Image(source.data + 1, **on_source(whole(source, "image"), "RL 40", metadata))
    points = np.random.default_rng(0).uniform(0, 40, (20, 3))
    for point in points:
        np.testing.assert_allclose(result.data_to_world(point), source.data_to_world(point))
    assert result.name == "cells · RL 40"
    assert not result.rgb
    assert result.units == source.units
    assert result.axis_labels == source.axis_labels
    assert result.colormap.name == "green"
    assert result.blending == "additive"
    assert result.metadata == {
        KEY: {"operation": "deconvolve", "source": "cells", "role": "result"}
    }
    assert KEY not in source.metadata


def test_origins():
    image = Image(VOLUME, name="cells")
    assert origin(image) == {"layer": "cells"}
    sample = {"sample": "cells_widefield", "part": "image", "checksum": checksum(VOLUME)}
    image.metadata.update(provenance(sample, "image"))
    assert origin(image) == {"sample": "cells_widefield", "part": "image"}
    call = {"operation": "deconvolve", "inputs": {"image": {"layer": "cells"}}}
    result = Image(VOLUME, metadata=provenance(call, "result", image))
    assert origin(result) == {"layer": result.name}  # nobody has said that it made this
    note_made(result)
    assert origin(result) == call | {"source": "cells", "role": "result"}
    result.data = VOLUME + 1
    assert origin(result) == {"layer": result.name}
    result.data = VOLUME.copy()
    assert "operation" in origin(result)
    result.data[-1, -1, -1] += 1
    assert origin(result) == {"layer": result.name}
    assert recipe_of(result) == {"source": "cells", "role": "result"}


@pytest.mark.parametrize("several", [False, True])
def test_large_and_lazy_data_that_were_changed_have_another_origin(several, dask_in_place):
    """Of more than four million voxels some are looked at, of Dask's arrays how they are made."""
    call = {"operation": "deconvolve", "inputs": {"image": {"layer": "cells"}}}
    large = np.zeros((20, 512, 640), np.float32)[..., :512]
    lazy = da.zeros((20, 64, 64), chunks=10)
    for data in (large, lazy):
        levels = [data, data[:, ::2, ::2]] if several else data
        layer = Image(levels, multiscale=several, contrast_limits=(0, 1), name="result")
        layer.metadata.update(provenance(call, "result"))
        note_made(layer)
        assert "operation" in origin(layer)
        if data is large:
            data[5] += 1
        else:
            layer.data = [lazy + 1, (lazy + 1)[:, ::2, ::2]] if several else lazy + 1
        assert origin(layer) == {"layer": "result"}
        assert recipe_of(layer) == {"role": "result"}
        layer.data = zarr.zeros((4, 5, 6)) if not several else [zarr.zeros((4, 5, 6))] * 2
        note_made(layer)
        assert origin(layer) == {"layer": "result"}  # what cannot be watched may be anything


def test_a_psf_lies_beside_its_image_focus_in_the_middle_plane():
    psf = Psf(np.ones((5, 7, 7)), (0.2, 0.1, 0.1))
    extent = np.array([[10, 0, 0], [10 + 20 * 0.2, 6.4, 6.4]])
    np.testing.assert_allclose(
        centred(extent, psf.shape, psf.spacing), (12 - 0.4, 3.2 - 0.3, 3.2 - 0.3)
    )
    source = Image(np.zeros((21, 64, 64)), scale=(200, 100, 100), units=("nm",) * 3)
    layer = Image(psf.data, **psf_options(psf, "PSF", {}, source))
    assert layer.translate[0] + 2 * 0.2 == pytest.approx(2.0)
    assert layer.translate[2] > 6.3
    assert layer.gamma == 0.5
    assert layer.blending == "translucent_no_depth"  # seen on black and on white
    assert layer.colormap.name == "magma"


def test_roles():
    assert role(Image(VOLUME, name="cells")) == "image"
    assert role(Image(VOLUME, name="my_psf.tif")) == "psf"
    assert role(Image(VOLUME, name="PSF", metadata={KEY: {"role": "truth"}})) == "truth"


@pytest.mark.parametrize(
    "text", ["0.3 × 0.1 × 0.1", "0.3,0.1,0.1", "0.3, .1, 1e-1", "0.3x0.1x0.1", " 0.3 0.1; 0.1 "]
)
def test_numbers_are_read(text):
    assert read_numbers(text) == (0.3, 0.1, 0.1)


@pytest.mark.parametrize("text", ["0.3 × nan", "inf", "0.3 × -0.1", "0", "about 3", "0.3 µm"])
def test_what_is_no_number_above_0_is_refused(text):
    with pytest.raises(DeconvError, match="not understood"):
        read_numbers(text)


def test_whole_numbers_are_read_strictly():
    assert read_numbers("31 × 65 × 65", int) == (31, 65, 65)
    assert read_numbers("", int) == ()
    with pytest.raises(DeconvError, match="whole numbers"):
        read_numbers("31.5 × 65 × 65", int)


def test_the_voxel_size_follows_its_layer(qtbot):
    size = VoxelSize()
    layer = Image(VOLUME, scale=(0.3, 1 / 3, 1 / 3), units=("µm",) * 3)
    size.follow(layer)
    assert size.field.value == "0.3 × 0.33333 × 0.33333"
    assert size.value(3) == (0.3, 1 / 3, 1 / 3)  # what is shown is rounded, what is used is not
    assert size.value(2) == (1 / 3, 1 / 3)
    assert size.note.value == ""
    layer.scale = (0.5, 0.25, 0.25)
    assert size.value(3) == (0.5, 0.25, 0.25)
    size.field.value = "0.4 × 0.2 × 0.2"
    assert size.value(3) == (0.4, 0.2, 0.2)
    layer.units = ("pixel",) * 3
    assert "no unit" in size.note.value
    size.follow(Image(VOLUME))
    assert "no voxel size" in size.note.value
    with pytest.raises(DeconvError, match="Enter it above as z × y × x"):
        size.value(3)
    size.field.value = "0.1 × 0.1"
    with pytest.raises(DeconvError, match="expected 3 numbers"):
        size.value(3)
    layer.scale = (9, 9, 9)
    assert size.field.value == "0.1 × 0.1"


def test_a_psf_in_pixels_knows_its_voxel_size():
    psf = Psf(np.ones((5, 7, 7)), (0.2, 0.1, 0.1))
    source = Image(np.zeros((21, 64, 64)), scale=(2, 1, 1))
    field = VoxelSize()
    field.follow(source)
    assert "are these µm?" in field.note.value
    field.follow(Image(psf.data, **psf_options(psf, "PSF", {}, source)))
    assert field.field.value == "0.2 × 0.1 × 0.1"
    assert field.note.value == ""


@pytest.mark.parametrize(("unit", "words"), [("µm", "1 × 1 × 1 µm"), ("nm", "0.001 × 0.001")])
def test_a_scale_of_one_is_no_voxel_size(unit, words):
    """napari sets it where nothing is known, whatever the unit."""
    layer = Image(VOLUME, units=(unit,) * 3)
    field = VoxelSize()
    field.follow(layer)
    assert field.field.value == ""
    assert words in field.note.value
    assert "as napari does where the voxel size is not known: enter it" in field.note.value
    with pytest.raises(DeconvError, match="Enter it above"):
        field.value(3)
    field.field.value = "1 × 1 × 1"
    assert field.note.value == ""
    assert field.value(3) == (1, 1, 1)
    field.follow(Image(VOLUME, units=("µm",) * 3, scale=(2, 1, 1)))
    assert field.note.value == ""
    assert field.value(3) == (2, 1, 1)


@pytest.mark.parametrize("scale", [(0.2, 0.08, 65), (200, 65, 65), (2e-4, 6.5e-5, 6.5e-5)])
def test_a_voxel_size_of_another_unit_is_asked_for(scale):
    layer = Image(VOLUME, units=("µm",) * 3, scale=scale)
    assert stated_spacing(layer) == scale
    assert spacing(layer) is None
    field = VoxelSize()
    field.follow(layer)
    assert "which is no voxel size of a microscope: enter it" in field.note.value
    with pytest.raises(DeconvError, match="no voxel size of a microscope"):
        field.value(3)
    field.field.value = "200 × 65 × 65"
    assert field.value(3) == (200, 65, 65)
    layer.scale = (0.2, 0.065, 0.065)
    assert field.value(3) == (0.2, 0.065, 0.065)


@pytest.mark.usefixtures("dask_in_place")
def test_a_voxel_size_that_a_file_mistook_is_not_laid_to_napari(viewer, tmp_path):
    write_image(tmp_path / "nm.ome.zarr", np.zeros((3, 40, 50)), (200, 65, 65))
    layer = viewer.open(str(tmp_path / "nm.ome.zarr"), plugin="napari")[0]
    np.testing.assert_array_equal(layer.scale[-3:], 1)
    field = VoxelSize()
    field.follow(layer)
    assert "says 200 × 65 × 65 µm, which is no voxel size of a microscope" in field.note.value
    field.release()


def test_a_scale_of_one_that_is_known(viewer, tmp_path):
    write_image(tmp_path / "one.ome.tif", VOLUME, (1, 1, 1))
    (layer,) = viewer.open(str(tmp_path / "one.ome.tif"), plugin="napari")
    layer.units = ("µm",) * 3
    made = Image(VOLUME, units=("µm",) * 3, metadata={KEY: {"operation": "deconvolve"}})
    for each in (layer, made):
        field = VoxelSize()
        field.follow(each)
        assert (field.field.value, field.note.value) == ("1 × 1 × 1", "")
        field.release()


def test_layers_are_taken_away_with_one_collection_of_garbage(viewer):
    kept, *others = (viewer.add_image(VOLUME, name=name) for name in "abcd")
    viewer.layers.remove(others[0])
    whole = []

    def note(phase, about):
        if phase == "start" and about["generation"] == 2:
            whole.append(about)

    gc.collect()
    gc.callbacks.append(note)
    try:
        take_away(viewer, others)
    finally:
        gc.callbacks.remove(note)
    assert len(whole) == 1
    assert list(viewer.layers) == [kept]

"""OME-Zarr: what is written follows the specification, what others write is read."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import yaozarrs
import zarr

from napari_deconv.errors import DeconvError
from napari_deconv.files import (
    Image,
    positions,
    provenance_of,
    read_image,
    save_image,
    write_image,
)
from napari_deconv.files.blockwise import write_in_blocks

SPACING = (0.3, 0.1, 0.11)
STACK = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("YX", (4, 5)), ("ZYX", (3, 4, 5)), ("TYX", (3, 4, 5)), ("TCZYX", (2, 3, 2, 4, 5))],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int64"])
def test_what_is_written_is_read_and_valid(tmp_path, axes, shape, dtype):
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    spacing = SPACING[-2 - ("Z" in axes) :]
    channels = ("DAPI", "GFP", "µ") if "C" in axes else ()
    time = 2.5 if "T" in axes else None
    record = {"operation": "deconvolve", "parameters": {"note": 'µ "é"', "n": [1, None, 2.5]}}
    path = tmp_path / "a.ome.zarr"
    write_image(
        path, data, spacing, record, axes=axes, channels=channels, time_interval=time, name="cells"
    )
    yaozarrs.validate_zarr_store(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, data)
    assert image.data.dtype == dtype
    assert (image.axes, image.spacing, image.channels) == (axes, spacing, channels)
    assert (image.time_interval, image.name, image.metadata) == (time, "cells", record)
    assert provenance_of(path) == record | {
        "role": "result", "axes": axes, "spacing": list(spacing)
    }  # fmt: skip


def test_without_a_voxel_size_there_is_none(tmp_path):
    write_image(tmp_path / "a.zarr", STACK)
    assert read_image(tmp_path / "a.zarr").spacing is None
    assert read_image(tmp_path / "a.zarr", SPACING).spacing == SPACING
    assert provenance_of(tmp_path / "a.zarr") == {"axes": "ZYX"}


@pytest.mark.parametrize("step", [0.3, 0.1, 0.02])
def test_the_pyramid_halves_what_is_fine_and_stays_in_place(tmp_path, step):
    """A bright point has the same centre of mass in µm on every level."""
    data = np.zeros((16, 512, 640), np.float32)
    data[8, 96, 416] = 4096
    path = tmp_path / "a.zarr"
    write_image(path, data, (step, 0.1, 0.1))
    group = zarr.open_group(path, mode="r")
    levels = group.attrs["ome"]["multiscales"][0]["datasets"]
    shapes = [group[level["path"]].shape for level in levels]
    # z is halved as soon as its step is not larger than that of x on the level above
    planes = {0.3: [16, 16, 16], 0.1: [16, 8, 4], 0.02: [16, 8, 4]}[step]
    assert shapes == [(z, 512 >> n, 640 >> n) for n, z in enumerate(planes)]
    for level, shape in zip(levels, shapes, strict=True):
        moves = {m["type"]: np.array(m[m["type"]]) for m in level["coordinateTransformations"]}
        voxels = np.asarray(group[level["path"]])
        size, offset = moves["scale"], moves.get("translation", np.zeros(3))
        assert voxels.mean() == pytest.approx(data.mean())
        # the point lies in the brightest voxel
        peak = np.array(np.unravel_index(voxels.argmax(), shape)) * size + offset
        assert np.all(np.abs(peak - np.array([8, 96, 416]) * (step, 0.1, 0.1)) <= size / 2)


def test_whole_numbers_are_rounded_and_odd_ends_left_out(tmp_path):
    data = np.full((301, 333), 3, np.uint8)
    data[::2] = 4
    write_image(tmp_path / "a.zarr", data)
    level = np.asarray(zarr.open_group(tmp_path / "a.zarr", mode="r")["1"])
    assert level.shape == (150, 166)
    assert set(np.unique(level)) <= {3, 4}


def by_hand(path, version, axes, scale, *, whole_scale=None, units="micrometer", shape=(3, 4, 5)):
    """Write as the specification says, without our writer."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    named = {} if version == "0.4" else {"dimension_names": list(axes)}
    array = group.create_array("full", shape=shape, dtype="uint16", chunks=shape, **named)
    array[...] = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": a, "type": kinds.get(a, "space")}
        | ({"unit": units} if a in "zyx" else {"unit": "millisecond"} if a == "t" else {})
        for a in axes
    ]
    multiscale = {
        "axes": described,
        "datasets": [
            {"path": "full", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
    }
    if whole_scale:
        multiscale["coordinateTransformations"] = [{"type": "scale", "scale": whole_scale}]
    if version == "0.4":
        group.attrs["multiscales"] = [multiscale | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    yaozarrs.validate_zarr_store(path)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_others_write(tmp_path, version):
    path = by_hand(tmp_path / "a.zarr", version, "zyx", [3, 1, 1], whole_scale=[100, 110, 120],
                   units="nanometer")  # fmt: skip
    image = read_image(path)
    np.testing.assert_array_equal(image.data, STACK)
    assert image.spacing == pytest.approx((0.3, 0.11, 0.12))
    path = by_hand(tmp_path / "b.zarr", version, "tczyx", [40, 1, 1, 2, 2], shape=(2, 1, 1, 4, 5))
    image = read_image(path)
    assert (image.axes, image.data.shape) == ("TYX", (2, 4, 5))
    assert image.spacing == (2, 2)
    assert image.time_interval == pytest.approx(0.04)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("axes", "shape", "read"),
    [("tczyx", (1, 1, 6, 300, 20), "ZYX"), ("tczyx", (1, 2, 6, 300, 20), "CZYX"),
     ("tczyx", (3, 1, 6, 300, 20), "TZYX"), ("tczyx", (3, 1, 1, 300, 20), "TYX"),
     ("tczyx", (1, 1, 1, 300, 20), "YX"), ("cyx", (1, 300, 20), "YX")],
)  # fmt: skip
def test_axes_of_length_1_are_written_again(tmp_path, version, axes, shape, read):
    scale = [5.0, 1.0, 0.3, 0.1, 0.1][-len(axes) :] if "t" in axes else [1.0, 0.1, 0.1]
    image = read_image(by_hand(tmp_path / "a.zarr", version, axes, scale, shape=shape))
    assert image.axes == read
    write_in_blocks(tmp_path / "b.zarr", image, version)
    yaozarrs.validate_zarr_store(tmp_path / "b.zarr")
    group = zarr.open_group(tmp_path / "b.zarr")
    (multiscale,) = group.attrs.get("ome", group.attrs)["multiscales"]
    assert "".join(axis["name"] for axis in multiscale["axes"]) == axes
    step = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    np.testing.assert_allclose(step, [0.005, *scale[1:]] if "t" in axes else scale)  # it was in ms
    assert group["0"].shape == shape
    assert group["1"].shape == (*shape[:-2], 150, 10)
    again = read_image(tmp_path / "b.zarr")
    np.testing.assert_array_equal(again.data, image.data)
    assert (again.axes, again.single, again.spacing) == (read, image.single, image.spacing)
    assert again.plane == image.plane
    assert again.time_interval == image.time_interval


def test_the_only_plane_keeps_its_thickness_and_place(tmp_path):
    image = Image(STACK[0], (0.1, 0.2), "YX", origin=(5.0, 6.0), single="CZ", plane=(0.3, 4.0))
    save_image(tmp_path / "a.zarr", image)
    (multiscale,) = zarr.open_group(tmp_path / "a.zarr").attrs["ome"]["multiscales"]
    assert [axis.get("unit") for axis in multiscale["axes"]] == [None, *["micrometer"] * 3]
    scale, shift = multiscale["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"], shift["translation"]) == ([1, 0.3, 0.1, 0.2], [0, 4, 5, 6])
    again = read_image(tmp_path / "a.zarr")
    assert (again.single, again.plane, again.origin) == ("CZ", (0.3, 4.0), (5.0, 6.0))
    save_image(tmp_path / "b.zarr", replace(image, plane=None))  # of unknown thickness
    (multiscale,) = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["multiscales"]
    assert [axis.get("unit") for axis in multiscale["axes"]] == [None, None, *["micrometer"] * 2]
    again = read_image(tmp_path / "b.zarr")
    assert (again.single, again.plane, again.spacing) == ("CZ", None, (0.1, 0.2))
    assert again.origin == (5.0, 6.0)


@pytest.mark.parametrize("single", ["Z", "C", "TC", "S"])
def test_a_single_axis_that_does_not_fit_is_refused(tmp_path, single):
    image = Image(np.zeros((2, 3, 4, 5)), SPACING, "CZYX", single=single)
    with pytest.raises(DeconvError, match="does not fit axes CZYX: expected some of T, C and Z"):
        save_image(tmp_path / "a.zarr", image)
    assert not (tmp_path / "a.zarr").exists()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_how_channels_are_shown_is_kept_but_for_the_range_of_values(tmp_path, version):
    channels = [
        {"label": "GFP", "color": "00FF00", "active": False, "family": "exponential",
         "coefficient": 2.0, "inverted": True, "wavelength_id": "488",
         "window": {"min": 0, "max": 9, "start": 1, "end": 2}},
        {"label": "DAPI", "color": "0000FF", "active": True,
         "window": {"min": 0, "max": 9, "start": 1, "end": 2}},
    ]  # fmt: skip
    omero = {"id": 1, "name": "cells", "channels": channels, "rdefs": {"model": "color"}}
    path = by_hand(tmp_path / "a.zarr", version, "czyx", [1, 3, 1, 1], shape=(2, *STACK.shape))
    group = zarr.open_group(path)
    if version == "0.4":
        group.attrs["omero"] = omero
    else:
        group.attrs["ome"] = group.attrs["ome"] | {"omero": omero}
    image = read_image(path)
    two = image.remade(np.stack([STACK, 2 * STACK]), {})
    save_image(tmp_path / "b.zarr", two, version)
    yaozarrs.validate_zarr_store(tmp_path / "b.zarr")
    attributes = zarr.open_group(tmp_path / "b.zarr").attrs
    windows = [
        {"min": low, "max": high, "start": low, "end": high}
        for low, high in ((STACK.min(), STACK.max()), (2 * STACK.min(), 2 * STACK.max()))
    ]
    assert attributes.get("ome", attributes)["omero"] == {
        "channels": [c | {"window": w} for c, w in zip(channels, windows, strict=True)],
        "rdefs": {"model": "color"},
    }
    one = read_image(path, channel=0)
    assert (one.channels, one.omero["channels"]) == (("GFP",), channels[:1])
    save_image(tmp_path / "one.zarr", one.remade(STACK, {}), version)
    attributes = zarr.open_group(tmp_path / "one.zarr").attrs
    assert attributes.get("ome", attributes)["omero"]["channels"][0]["active"]


@pytest.mark.parametrize("wrong", [{"color": "red"}, {"color": 255}, {"label": 3}, {"active": 1}])
def test_what_omero_says_wrong_is_not_said_again(tmp_path, wrong):
    right = {"label": "GFP", "color": "00FF00", "active": True,
             "window": {"min": 0, "max": 9, "start": 1, "end": 2}}  # fmt: skip
    path = by_hand(tmp_path / "a.zarr", "0.5", "czyx", [1, 3, 1, 1], shape=(2, *STACK.shape))
    group = zarr.open_group(path)
    omero = {"channels": [right, right | wrong], "rdefs": [1]}
    group.attrs["ome"] = group.attrs["ome"] | {"omero": omero}
    image = read_image(path)
    save_image(tmp_path / "b.zarr", image.remade(np.stack([STACK, STACK]), {}))
    yaozarrs.validate_zarr_store(tmp_path / "b.zarr")
    first, second = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["omero"]["channels"]
    assert (first["label"], first["color"], second["active"]) == ("GFP", "00FF00", True)


def test_what_is_no_image(tmp_path):
    group = zarr.open_group(tmp_path / "plate.zarr", mode="w")
    for ome in ({"plate": {}}, {"bioformats2raw.layout": 3}):
        group.attrs["ome"] = {"version": "0.5", **ome}
        for read in (read_image, positions):
            with pytest.raises(DeconvError, match="no multiscales, nor wells"):
                read(tmp_path / "plate.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DeconvError, match="cannot be read as an OME-Zarr"):
        read_image(tmp_path / "empty.zarr")
    write_image(tmp_path / "cut.zarr", STACK)
    (tmp_path / "cut.zarr" / "0" / "zarr.json").write_text("{")
    with pytest.raises(DeconvError, match="cannot be read as an OME-Zarr"):
        read_image(tmp_path / "cut.zarr")
    for path in tmp_path.iterdir():
        assert provenance_of(path).keys() <= {"axes"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_a_failure_leaves_the_old_image_and_nothing_else(tmp_path, monkeypatch, failure):
    path = tmp_path / "a.zarr"
    write_image(path, STACK, SPACING)
    before = json.loads((path / "zarr.json").read_text())

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("napari_deconv.files.zarr_target._attributes", fail)
    with pytest.raises(DeconvError if failure is OSError else failure):
        write_image(path, STACK + 1)
    assert json.loads((path / "zarr.json").read_text()) == before
    np.testing.assert_array_equal(read_image(path).data, STACK)
    assert list(tmp_path.iterdir()) == [path]


def test_an_image_is_replaced_and_nothing_but_an_image(tmp_path):
    path = tmp_path / "a.zarr"
    write_image(path, STACK)
    write_image(path, STACK[0])
    np.testing.assert_array_equal(read_image(path).data, STACK[0])
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "thesis.txt").touch()
    with pytest.raises(DeconvError, match="is a folder"):
        write_image(tmp_path / "folder.zarr", STACK)
    (tmp_path / "file.zarr").touch()
    with pytest.raises(DeconvError, match="is a file"):
        write_image(tmp_path / "file.zarr", STACK)


@pytest.mark.parametrize(
    ("omero", "channels", "colours"),
    [
        ([("a", "FF0000"), ("b", "00ff00")], ("a", "b"), ("FF0000", "00FF00")),
        ([("a", "#FF0000"), ("b", "00FF00FF")], ("a", "b"), ("FF0000", "00FF00")),
        ([("a", "red"), ("b", "00FF00")], ("a", "b"), ()),
        ([(1, 255), (2, None)], ("1", "2"), ()),
        ([("a", "FF0000")], (), ()),
        ([("a", "FF0000")] * 3, (), ()),
        (None, (), ()),
    ],
)
def test_what_others_say_of_channels(tmp_path, omero, channels, colours):
    """What does not fit the image is left out, and both formats take what is left."""
    path = tmp_path / "a.zarr"
    write_image(path, np.zeros((2, 3, 4, 5), np.uint8), SPACING, axes="CZYX")
    group = zarr.open_group(path, mode="r+")
    listed = omero and [{"label": label, "color": colour} for label, colour in omero]
    group.attrs["ome"] = {**group.attrs["ome"], "omero": {"channels": listed}}
    image = read_image(path)
    assert (image.channels, image.colours) == (channels, colours)
    for name in ("b.tif", "b.zarr"):
        write_image(
            tmp_path / name, image.data, SPACING, axes="CZYX", channels=channels, colours=colours
        )
        assert read_image(tmp_path / name).channels == channels


@pytest.mark.parametrize("unit", ["micrometer", "nanometer"])
def test_the_place_is_kept_in_every_level(tmp_path, unit):
    """The specification: all of a dataset's transformations in order, then those of all."""
    path, per_micrometre = tmp_path / "a.zarr", {"micrometer": 1, "nanometer": 1000}[unit]
    write_image(path, np.zeros((1, 8, 600, 20), np.uint8), (0.3, 0.1, 0.1), axes="CZYX")
    group = zarr.open_group(path, mode="r+")
    ome = group.attrs["ome"]
    multiscale = ome["multiscales"][0]
    for axis in multiscale["axes"][1:]:
        axis["unit"] = unit
    halved = per_micrometre / 2
    multiscale["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 0.3 * halved, 0.1 * halved, 0.1 * halved]},
        {"type": "translation", "translation": [0, 2 * halved, -5 * halved, 3 * halved]},
    ]
    multiscale["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 2, 2, 2]},
        {"type": "translation", "translation": [0, per_micrometre, 2 * per_micrometre, 0]},
    ]
    group.attrs["ome"] = ome
    image = read_image(path)
    assert image.spacing == pytest.approx((0.3, 0.1, 0.1))
    assert image.origin == pytest.approx((3, -3, 3))
    assert read_image(path, channel=0).origin == image.origin
    write_image(tmp_path / "b.zarr", image.data, image.spacing, origin=image.origin)
    yaozarrs.validate_zarr_store(tmp_path / "b.zarr")
    levels = zarr.open_group(tmp_path / "b.zarr").attrs["ome"]["multiscales"][0]["datasets"]
    for level in levels:
        scale, shift = (list(move.values())[1] for move in level["coordinateTransformations"])
        corner = np.array(shift) - np.array(scale) / 2  # of the first voxel: the same in all
        np.testing.assert_allclose(corner, np.array([3, -3, 3]) - np.array([0.15, 0.05, 0.05]))
    assert len(levels) > 2
    with pytest.raises(DeconvError, match="does not fit axes ZYX: expected 3 numbers"):
        write_image(tmp_path / "b.zarr", image.data, image.spacing, origin=(1, 2))

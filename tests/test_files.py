"""Images in and out: voxel sizes, axes, metadata, and files as hostile as they come."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import positions, read_image, write_image

STACK = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
SPACING = (0.3, 0.1, 0.11)


def ome(path, array=STACK, **metadata):
    metadata.setdefault("axes", "ZYX"[-array.ndim :])
    tifffile.imwrite(path, array, ome=True, photometric="minisblack", metadata=metadata)
    return path


def imagej(path, array=STACK, resolution=(10.0, 10.0), **metadata):
    metadata.setdefault("axes", "ZYX"[-array.ndim :])
    tifffile.imwrite(path, array, imagej=True, resolution=resolution, metadata=metadata)
    return path


# -- round trips ---------------------------------------------------------------------------------

DTYPES = ["uint8", "uint16", "int32", "float32", "float64"]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=6)
        )
    ),
    size=st.floats(1e-3, 1e3),
)
def test_what_is_written_is_read(tmp_path, array, size):
    path = tmp_path / "image.ome.tif"
    spacing = (3 * size, size, size / 3)[-array.ndim :]
    write_image(path, array, spacing)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, array)
    assert image.data.dtype == array.dtype
    assert image.spacing == pytest.approx(spacing, rel=1e-12)
    assert image.axes == "ZYX"[-array.ndim :]


def test_metadata_channels_and_axes_round_trip(tmp_path):
    path = tmp_path / "image.ome.tif"
    recipe = {
        "operation": "deconvolve",
        "parameters": {"note": 'µ "{<&>}" \n é', "n": [1, None, 2.5]},
    }
    data = np.zeros((2, 3, 4, 5, 6), np.float32)
    write_image(
        path,
        data,
        SPACING,
        recipe,
        axes="TCZYX",
        channels=["DAPI", "GFP", "RFP"],
        time_interval=0.5,
    )
    image = read_image(path)
    assert image.metadata == recipe
    assert image.channels == ("DAPI", "GFP", "RFP")
    assert image.time_interval == 0.5
    assert image.axes == "TCZYX"
    assert image.spacing == SPACING
    assert read_image(ome(tmp_path / "other.ome.tif", Description="a cell")).metadata == {}


def test_no_spacing_stays_unknown(tmp_path):
    write_image(tmp_path / "a.tif", STACK)
    assert read_image(tmp_path / "a.tif").spacing is None


def test_given_spacing_wins(tmp_path):
    path = ome(tmp_path / "a.ome.tif", PhysicalSizeX=1, PhysicalSizeY=1, PhysicalSizeZ=1)
    assert read_image(path, SPACING).spacing == SPACING
    assert read_image(path, 0.2).spacing == (0.2, 0.2, 0.2)
    with pytest.raises(DeconvError, match="expected 3 numbers above 0"):
        read_image(path, (0.1, 0.2))


def test_written_voxel_size_is_plain_ome(tmp_path):
    """Independent of our reader: the attributes of the OME schema, in µm."""
    path = tmp_path / "a.ome.tif"
    write_image(path, STACK, SPACING)
    with tifffile.TiffFile(path) as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == SPACING
    assert pixels["PhysicalSizeXUnit"] == "µm"
    assert (pixels["SizeZ"], pixels["SizeY"], pixels["SizeX"]) == STACK.shape


# -- voxel sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("nm", 1e-3), ("µm", 1), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("pm", 1e-6), ("Å", 1e-4)],
)
def test_ome_units(tmp_path, unit, factor):
    sizes = {f"PhysicalSize{axis}": 2.5 for axis in "XYZ"}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
    image = read_image(ome(tmp_path / "a.ome.tif", **sizes, **units))
    assert image.spacing == pytest.approx((2.5 * factor,) * 3, rel=1e-12)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong"])
def test_ome_units_that_are_no_length(tmp_path, unit):
    sizes = {f"PhysicalSize{axis}": 1.0 for axis in "XYZ"}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XYZ"}
    assert read_image(ome(tmp_path / "a.ome.tif", **sizes, **units)).spacing is None


@pytest.mark.parametrize("size", [0, -1, "nan", "inf", "wide"])
def test_ome_sizes_that_are_no_size(tmp_path, size):
    sizes = {f"PhysicalSize{axis}": size for axis in "XYZ"}
    assert read_image(ome(tmp_path / "a.ome.tif", **sizes)).spacing is None


@pytest.mark.parametrize(
    ("unit", "spacing"),
    [
        ("um", (0.3, 0.1, 0.1)),
        ("\\u00B5m", (0.3, 0.1, 0.1)),
        ("micron", (0.3, 0.1, 0.1)),
        ("microns", (0.3, 0.1, 0.1)),
        ("nm", (0.0003, 0.0001, 0.0001)),
        ("mm", (300.0, 100.0, 100.0)),
        ("inch", (7620.0, 2540.0, 2540.0)),
        ("pixel", None),
        ("", None),
    ],
)
def test_imagej_units(tmp_path, unit, spacing):
    image = read_image(imagej(tmp_path / "a.tif", spacing=0.3, unit=unit))
    assert image.spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-6))


def test_imagej_negative_step_is_a_length(tmp_path):
    image = read_image(imagej(tmp_path / "a.tif", spacing=-0.3, unit="um"))
    assert image.spacing == pytest.approx((0.3, 0.1, 0.1), rel=1e-6)


def test_imagej_time_and_channels(tmp_path):
    array = np.zeros((2, 3, 4, 5, 6), np.uint8)
    image = read_image(
        imagej(tmp_path / "a.tif", array, axes="TZCYX", spacing=0.3, unit="um", finterval=1.5)
    )
    assert image.axes == "TCZYX"
    assert image.data.shape == (2, 4, 3, 5, 6)
    assert image.time_interval == 1.5
    assert image.spacing == pytest.approx((0.3, 0.1, 0.1), rel=1e-6)


def test_ome_time_interval(tmp_path):
    array = np.zeros((2, 3, 5, 6), np.uint8)
    path = ome(
        tmp_path / "a.ome.tif", array, axes="TZYX", TimeIncrement=250, TimeIncrementUnit="ms"
    )
    assert read_image(path).time_interval == pytest.approx(0.25)


@pytest.mark.parametrize("writer", [ome, imagej])
def test_pixel_size_without_a_step_is_not_a_voxel_size(tmp_path, writer):
    known = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1} if writer is ome else {"unit": "um"}
    path = writer(tmp_path / "a.tif", **known)
    with pytest.warns(DeconvWarning, match="no distance between planes"):
        assert read_image(path).spacing is None
    plane = writer(tmp_path / "b.tif", STACK[0], **known)
    assert read_image(plane).spacing == pytest.approx((0.1, 0.1), rel=1e-6)


@pytest.mark.parametrize(
    ("resolution", "unit", "spacing"),
    [
        ((1e5, 5e4), "CENTIMETER", (0.2, 0.1)),
        ((254000, 254000), "INCH", (0.1, 0.1)),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((28.35, 28.35), "CENTIMETER", None),
        ((10, 10), "NONE", None),
    ],
)
def test_plain_tiff_resolution(tmp_path, resolution, unit, spacing):
    """A resolution for printing is not a voxel size, and without a unit none is."""
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], resolution=resolution, resolutionunit=unit)
    image = read_image(tmp_path / "a.tif")
    assert image.spacing == (None if spacing is None else pytest.approx(spacing, rel=1e-6))


# -- axes ----------------------------------------------------------------------------------------


def test_unnamed_sequences_stand_for_z(tmp_path):
    tifffile.imwrite(tmp_path / "q.tif", STACK, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "i.tif") as writer:
        for plane in STACK:
            writer.write(plane, metadata=None, contiguous=False)
    for name, axis in (("q.tif", "Q"), ("i.tif", "I")):
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.series[0].axes == f"{axis}YX"
        image = read_image(tmp_path / name)
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.data, STACK)


def test_time_stands_for_z_and_is_said(tmp_path):
    path = ome(tmp_path / "a.ome.tif", axes="TYX")
    with pytest.warns(DeconvWarning, match="time axis and no z"):
        image = read_image(path)
    assert image.axes == "ZYX"


def test_leading_axes_come_in_one_order(tmp_path):
    series = np.arange(2 * 3 * STACK.size, dtype=np.uint16).reshape(2, 3, *STACK.shape)
    image = read_image(ome(tmp_path / "a.ome.tif", series, axes="CTZYX", TimeIncrement=1.0))
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.data, series.swapaxes(0, 1))


def test_unnamed_axes_of_a_series_are_guessed_and_said(tmp_path):
    series = np.arange(2 * STACK.size, dtype=np.uint16).reshape(2, *STACK.shape)
    tifffile.imwrite(tmp_path / "a.tif", series, photometric="minisblack")
    with pytest.warns(DeconvWarning, match=r"does not say what its axes are.*as c, z, y, x"):
        image = read_image(tmp_path / "a.tif")
    assert image.axes == "CZYX"
    np.testing.assert_array_equal(image.data, series)


@pytest.mark.parametrize("axes", ["RCZYX", "AZYX", "QZYX"])
def test_axes_that_are_neither_time_nor_channel_nor_space(tmp_path, axes):
    series = np.zeros((2,) * (len(axes) - 3) + STACK.shape, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", series, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(DeconvError, match=rf"axes {axes}, shape .*: expected times \(T\)"):
        read_image(tmp_path / "a.tif")


def test_channels_do_not_stand_for_z(tmp_path):
    image = read_image(
        ome(tmp_path / "a.ome.tif", axes="CYX", PhysicalSizeX=0.1, PhysicalSizeY=0.2)
    )
    assert image.axes == "CYX"
    assert image.spacing == (0.2, 0.1)


def test_first_of_several_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(STACK, metadata={"axes": "ZYX"})
        writer.write(STACK[:, :2], metadata={"axes": "ZYX"})
    with pytest.warns(DeconvWarning, match="2 images"):
        image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, STACK)


# -- hostile files -------------------------------------------------------------------------------


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_is_refused(tmp_path, planar):
    shape = (6, 7, 3) if planar == "contig" else (3, 6, 7)
    array = np.zeros(shape, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig=planar)
    with pytest.raises(DeconvError, match="in colour"):
        read_image(tmp_path / "a.tif")


def test_missing_file_folder_empty_file_and_no_tiff(tmp_path):
    with pytest.raises(DeconvError, match="There is no file"):
        read_image(tmp_path / "missing.tif")
    with pytest.raises(DeconvError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(DeconvError, match="cannot be read as a TIFF"):
        read_image(tmp_path / "empty.tif")
    (tmp_path / "text.tif").write_text("II* this is not an image, really")
    with pytest.raises(DeconvError):
        read_image(tmp_path / "text.tif")


@pytest.mark.parametrize("read", [read_image, positions])
@pytest.mark.parametrize("content", [b"II*\0\0\0\0\0", b"II*\0nonsense", b"II+\0\x08\0\0\0"])
def test_a_file_without_an_image(tmp_path, read, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DeconvError, match=r"a\.tif (has no image in it|cannot be read as a TIFF)"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["ome", "imagej", "compressed", "pages"])
def test_truncated_anywhere(tmp_path, kind):
    """A cut file is an error, never an image with zeros in it."""
    path = tmp_path / "a.tif"
    array = np.random.default_rng(0).integers(1, 1000, (5, 20, 21), dtype=np.uint16)
    if kind == "ome":
        write_image(path, array, 0.1, {"note": "x" * 100})
    elif kind == "imagej":
        imagej(path, array, spacing=0.3, unit="um")
    elif kind == "compressed":
        tifffile.imwrite(path, array, compression="zlib", metadata=None)
    else:
        with tifffile.TiffWriter(path) as writer:
            for plane in array:
                writer.write(plane, metadata=None, contiguous=False)
    content = path.read_bytes()
    for size in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:size])
        try:
            image = read_image(path)
        except DeconvError:
            continue
        np.testing.assert_array_equal(image.data, array)


def test_the_channel_of_an_image_that_has_but_one(tmp_path):
    write_image(tmp_path / "a.tif", STACK, channels=["DAPI"])
    image = read_image(tmp_path / "a.tif", channel=0)
    np.testing.assert_array_equal(image.data, STACK)
    assert image.channels == ("DAPI",)
    with pytest.raises(DeconvError, match="has no channel 1: it has 1, counted from 0"):
        read_image(tmp_path / "a.tif", channel=1)


def test_real_files(data_dir):
    """The voxel sizes that the folder's README gives."""
    expected = {
        "beads/hoogenboom_200nm_na095_zyx300x108x108.tif": (0.3, 0.108, 0.108),
        "beads/haase_Bead_Image1_crop.tif": (0.125, 0.02249, 0.02249),
        "bio/haase_VerticalGrid1AU_crop.tif": (0.125, 0.02196, 0.02196),
        "bio/lattice_deskewed_crop.tif": (0.3, 0.10188, 0.10188),
        "psf/psfgenerator_gibsonlanni_kern3d1.tif": (0.25, 0.1, 0.1),
        "benchmark/pollen_truth.tif": None,
        "psf/pyotf_psf_wl520nm_z300nm_x130nm_na0.85_n1.0.tif": None,
    }
    for name, spacing in expected.items():
        image = read_image(data_dir / name)
        assert image.axes == "ZYX"
        assert image.spacing == (None if spacing is None else pytest.approx(spacing, rel=3e-4))

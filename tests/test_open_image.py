"""Images that are opened without being read: what is asked for is what lies in the file."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import dask.array as da
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import Image, open_image, positions, read_image, write_image
from napari_deconv.files.blockwise import write_in_blocks

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60000, (5, 40, 48), dtype=np.uint16)
HYPER = RNG.integers(0, 60000, (3, 4, 2, 40, 48), dtype=np.uint16)  # t, z, c, y, x as ImageJ has it


def plain_zarr(path, array=STACK, **options):
    zarr.create_array(path, data=array, chunks=(*(1,) * (array.ndim - 2), 16, 16), **options)


WRITERS = {
    "contiguous.tif": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "strips.tif": lambda path: tifffile.imwrite(
        path, STACK, photometric="minisblack", compression="zlib", rowsperstrip=7
    ),
    "tiles.tif": lambda path: tifffile.imwrite(
        path, STACK, photometric="minisblack", compression="zlib", tile=(16, 32)
    ),
    "big_endian.tif": lambda path: tifffile.imwrite(
        path, STACK, photometric="minisblack", byteorder=">"
    ),
    "imagej.tif": lambda path: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "ZYX"}),
    "image.ome.tif": lambda path: write_image(path, STACK, 0.1),
    "image.ome.zarr": lambda path: write_image(path, STACK, 0.1),
    "plain.zarr": plain_zarr,
    "plain2.zarr": lambda path: plain_zarr(path, zarr_format=2),
}


@pytest.mark.parametrize("name", WRITERS)
def test_any_box_is_that_of_the_array(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    WRITERS[name](path)
    lazy = open_image(path).data
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (STACK.shape, STACK.dtype)
    np.testing.assert_array_equal(read_image(path).data, STACK)
    for box in [np.s_[:], np.s_[2], np.s_[1:4, 5:21, 30:], np.s_[::2, ::-1, -7:], np.s_[:, [3, 1]]]:
        np.testing.assert_array_equal(lazy[box].compute(), STACK[box])
    # as it comes to a worker, which may run in another folder
    monkeypatch.chdir("/")
    sent = cloudpickle.loads(cloudpickle.dumps(lazy))
    assert len(cloudpickle.dumps(lazy)) < 10_000
    np.testing.assert_array_equal(sent[3:].compute(), STACK[3:])
    # a scheduler unpickles it, too, and need not see the file
    pickled = cloudpickle.dumps(lazy)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    elsewhere = cloudpickle.loads(pickled)
    with pytest.raises(DeconvError, match="cannot be read as an image"):
        elsewhere[0].compute()


def test_time_points_and_channels_come_one_by_one_in_our_order(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, HYPER, imagej=True, resolution=(10, 10),
        metadata={"axes": "TZCYX", "finterval": 2.0, "spacing": 0.3, "unit": "um"},
    )  # fmt: skip
    image = open_image(path)
    assert (image.axes, image.data.shape) == ("TCZYX", (3, 2, 4, 40, 48))
    assert image.data.chunks[:2] == ((1, 1, 1), (1, 1))
    ours = HYPER.swapaxes(1, 2)
    np.testing.assert_array_equal(image.data.compute(), ours)
    np.testing.assert_array_equal(image.data[1, :, 2:, 3, ::2].compute(), ours[1, :, 2:, 3, ::2])
    for read in (open_image, read_image):
        one = read(path, channel=1)
        assert one.axes == "TZYX"
        np.testing.assert_array_equal(np.asarray(one.data), ours[:, 1])


def test_chunks_are_whole_chunks_of_the_file(tmp_path):
    data = np.zeros((20, 700, 1900), np.float32)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(7, 300, 500))
    lazy = open_image(tmp_path / "a.zarr").data
    starts = [np.cumsum((0, *sizes))[:-1] for sizes in lazy.chunks]
    for first, size in zip(starts, (7, 300, 500), strict=True):
        assert not np.any(first % size)
    assert 2**23 < 4 * np.prod(lazy.chunksize) <= 2**24
    assert lazy.chunksize == (14, 300, 500)


@pytest.mark.parametrize(
    ("of_file", "chunks"), [((8, 256, 256), (128, 256, 256)), ((8, 250, 9999), (16, 250, 2000))]
)
def test_chunks_are_brought_together_along_the_shortest_axis(tmp_path, of_file, chunks):
    zarr.create_array(tmp_path / "a.zarr", shape=(300, 2000, 2000), dtype="u2", chunks=of_file)
    assert open_image(tmp_path / "a.zarr").data.chunksize == chunks


def test_only_what_is_asked_for_is_read(tmp_path):
    """Every other chunk is damaged."""
    data = RNG.integers(1, 9, (32, 512, 512), dtype=np.uint8)
    path = tmp_path / "a.ome.zarr"
    write_image(path, data)
    chunks = sorted((path / "0" / "c").rglob("*"))
    for chunk in chunks:
        if chunk.is_file() and chunk.relative_to(path).as_posix() != "0/c/1/0/1":
            chunk.write_bytes(b"damaged")
    lazy = open_image(path).data
    box = np.s_[16:, 10:200, 256:]
    np.testing.assert_array_equal(lazy[box].compute(), data[box])
    with pytest.raises(DeconvError, match=r"a\.ome\.zarr cannot be read as an image"):
        lazy[0].compute()
    with pytest.raises(DeconvError, match="cannot be read as an image"):
        read_image(path)


def test_a_damaged_plane_of_a_tiff(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[3].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"damaged" * 10)
    lazy = open_image(path).data
    np.testing.assert_array_equal(lazy[:3].compute(), STACK[:3])
    with pytest.raises(DeconvError, match="cannot be read as an image"):
        lazy[3].compute()


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_that_is_taken_away_does_not_read_as_zeros(tmp_path, version, monkeypatch):
    """Also where it was opened by a relative name, in another process of another folder."""
    monkeypatch.chdir(tmp_path)
    plain_zarr("a.zarr", zarr_format=version)
    (tmp_path / "elsewhere").mkdir()
    there = cloudpickle.loads(cloudpickle.dumps(image := open_image("a.zarr").data))
    monkeypatch.chdir(tmp_path / "elsewhere")
    np.testing.assert_array_equal(there[:2], STACK[:2])
    (tmp_path / "a.zarr").rename(tmp_path / "b.zarr")
    for data in (image, there):
        with pytest.raises(DeconvError, match=r"a\.zarr is gone: it was there when it was opened"):
            data[3].compute()


def test_axes_of_a_plain_array(tmp_path):
    plain_zarr(tmp_path / "named.zarr", HYPER, dimension_names=list("tzcyx"))
    image = open_image(tmp_path / "named.zarr")
    assert (image.axes, image.spacing) == ("TCZYX", None)
    np.testing.assert_array_equal(image.data.compute(), HYPER.swapaxes(1, 2))
    assert positions(tmp_path / "named.zarr") == ("0",)
    plain_zarr(tmp_path / "six.zarr", HYPER[None])
    with pytest.raises(DeconvError, match=r"expected \(y, x\)"):
        open_image(tmp_path / "six.zarr")
    plain_zarr(tmp_path / "strange.zarr", STACK, dimension_names=["angle", "y", "x"])
    with pytest.raises(DeconvError, match=r"expected \(y, x\)"):
        open_image(tmp_path / "strange.zarr")


# -- positions -----------------------------------------------------------------------------------


def series(path):
    with tifffile.TiffWriter(path, ome=True) as writer:
        for number in (1, 2, 3):
            sizes = {f"PhysicalSize{axis}": number / 10 for axis in "XYZ"}
            writer.write(
                STACK[:, number:], photometric="minisblack",
                metadata={"axes": "ZYX", "Name": f"position {number}", **sizes},
            )  # fmt: skip


def described(number, path="0"):
    move = {"type": "scale", "scale": [number / 10] * 3}
    return {
        "name": f"position {number}",
        "axes": [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"],
        "datasets": [{"path": path, "coordinateTransformations": [move]}],
    }


def multiscales(path):
    group = zarr.open_group(path, mode="w")
    for number in (1, 2, 3):
        group.create_array(str(number), data=STACK[:, number:], dimension_names=list("zyx"))
    ome = {"version": "0.5", "multiscales": [described(n, str(n)) for n in (1, 2, 3)]}
    group.attrs["ome"] = ome
    yaozarrs.validate_zarr_store(path)


def bioformats2raw(path, version="0.5", listed=()):
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    layout = {"bioformats2raw.layout": 3}
    group.attrs.put(layout if version == "0.4" else {"ome": {"version": version, **layout}})
    for number, name in enumerate(listed or ("0", "1", "10"), 1):
        image = group.create_group(name)
        named = {} if version == "0.4" else {"dimension_names": list("zyx")}
        image.create_array("0", data=STACK[:, number:], **named)
        if version == "0.4":
            image.attrs["multiscales"] = [described(number) | {"version": "0.4"}]
        else:
            image.attrs["ome"] = {"version": version, "multiscales": [described(number)]}
        yaozarrs.validate_zarr_store(path / name)
    if listed:
        ome = group.create_group("OME")
        ome.attrs["ome"] = {"version": version, "series": list(listed)}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.ome.tif", series),
        ("a.ome.zarr", multiscales),
        ("b.ome.zarr", bioformats2raw),
        ("c.ome.zarr", lambda path: bioformats2raw(path, "0.4")),
        ("d.ome.zarr", lambda path: bioformats2raw(path, listed=("well", "0", "far"))),
    ],
)
def test_positions_are_listed_and_taken_one_by_one(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    assert positions(path) == ("position 1", "position 2", "position 3")
    for number in (1, 2, 3):
        image = open_image(path, position=number - 1)
        assert image.name == f"position {number}"
        assert image.spacing == pytest.approx((number / 10,) * 3)
        np.testing.assert_array_equal(image.data.compute(), STACK[:, number:])
    with pytest.warns(DeconvWarning, match="has 3 images: the first was taken"):
        assert read_image(path).name == "position 1"
    with pytest.raises(DeconvError, match="no position 3: it has 3, counted from 0"):
        open_image(path, position=3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_fields_of_a_plate_are_positions(tmp_path, version):
    path = tmp_path / "plate.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    place = {"rowIndex": 0, "columnIndex": 0}
    plate = {
        "name": "screen", "rows": [{"name": "B"}], "columns": [{"name": "7"}],
        "wells": [{"path": "B/7", **place}], "version": version,
    }  # fmt: skip
    well = {"images": [{"path": "0"}, {"path": "1"}], "version": version}
    for name, held in (("", {"plate": plate}), ("B", {}), ("B/7", {"well": well})):
        inner = group.require_group(name) if name else group
        inner.attrs.update(held if version == "0.4" else {"ome": {"version": version, **held}})
    for number in range(2):
        field = Image(STACK + number, (0.3, 0.1, 0.1), "ZYX", name="field")
        write_in_blocks(path / f"B/7/{number}.zarr", field, version)
        (path / f"B/7/{number}.zarr").rename(path / f"B/7/{number}")
    yaozarrs.validate_zarr_store(path)
    assert positions(path) == ("B/7/0", "B/7/1")
    image = read_image(path, position=1)
    np.testing.assert_array_equal(image.data, STACK + 1)
    assert image.spacing == (0.3, 0.1, 0.1)

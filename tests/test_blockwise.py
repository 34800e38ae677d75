"""Files that are written block by block: the same as in one go."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.measure import block_reduce

from block_files import BLOCKS, DATA, FORMATS, RECORD, RNG, contents, described, start, write_all
from napari_deconv.files import open_image, read_image, write_image


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_a_file_of_blocks_is_the_image(tmp_path, name, ngff):
    path = tmp_path / name
    file = start(path, ngff, time_interval=None)
    write_all(file)
    assert not path.exists()
    file.finish(RECORD)
    assert list(tmp_path.iterdir()) == [path]
    image = read_image(path)
    np.testing.assert_array_equal(image.data, DATA)
    assert (image.axes, image.spacing, image.metadata) == ("CZYX", (0.3, 0.1, 0.11), RECORD)
    assert image.channels == ("DAPI", "GFP")
    assert image.colours == ("FF0000", "00FF80")
    assert image.name == "cells"


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_ngff_is_valid_and_says_it_all(tmp_path, ngff):
    """Read by zarr and by another library's model of the specification."""
    path = tmp_path / "a.ome.zarr"
    file = start(path, ngff)
    write_all(file)
    file.finish(RECORD)
    yaozarrs.validate_zarr_store(path)
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == {"0.4": 2, "0.5": 3}[ngff]
    ome = group.attrs.asdict() if ngff == "0.4" else group.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    assert (multiscale if ngff == "0.4" else ome)["version"] == ngff
    assert [axis["name"] for axis in multiscale["axes"]] == list("czyx")
    assert [axis.get("unit") for axis in multiscale["axes"]] == [None] + ["micrometer"] * 3
    for level, path_ in enumerate(("0", "1")):
        data = multiscale["datasets"][level]
        assert data["path"] == path_
        moves = {m["type"]: m[m["type"]] for m in data["coordinateTransformations"]}
        assert moves["scale"] == pytest.approx([1, 0.3, 0.1 * 2**level, 0.11 * 2**level])
        if level:
            assert moves["translation"] == pytest.approx([0, 0, 0.05, 0.055])
    np.testing.assert_array_equal(group["0"][...], DATA)
    np.testing.assert_allclose(group["1"][...], block_reduce(DATA, (1, 1, 2, 2), np.mean), 1e-6)
    for number, channel in enumerate(ome["omero"]["channels"]):
        low, high = float(DATA[number].min()), float(DATA[number].max())
        assert channel["window"] == {"min": low, "max": high, "start": low, "end": high}
        assert (channel["label"], channel["color"]) == (
            ("DAPI", "FF0000"), ("GFP", "00FF80"))[number]  # fmt: skip
    # no two blocks share a chunk
    assert all(block % chunk == 0 for block, chunk in zip(BLOCKS, group["0"].chunks, strict=True))


def test_ome_tiff_is_plain_ome(tmp_path):
    path = tmp_path / "a.ome.tif"
    file = start(path)
    write_all(file)
    file.finish(RECORD)
    np.testing.assert_array_equal(tifffile.imread(path), DATA)
    with tifffile.TiffFile(path) as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
        assert tif.series[0].axes == "CZYX"
    assert [channel["Name"] for channel in pixels["Channel"]] == ["DAPI", "GFP"]
    # red, opaque, as a signed number: -16776961 in the examples of the OME schema
    assert pixels["Channel"][0]["Color"] == -16776961
    assert (pixels["PhysicalSizeZ"], pixels["PhysicalSizeXUnit"]) == (0.3, "µm")


def test_colours_are_kept_by_either_format(tmp_path):
    for name in ("a.ome.tif", "a.ome.zarr"):
        write_image(tmp_path / name, DATA, channels=["a", "b"], colours=["0080FF", "FFFFFF"])
        assert read_image(tmp_path / name).colours == ("0080FF", "FFFFFF")
        assert read_image(tmp_path / name, channel=0).colours == ("0080FF",)


def test_the_same_as_in_one_go(tmp_path):
    """Byte for byte, where the chunks are the same."""
    image = described()
    write_image(
        tmp_path / "a.ome.zarr", DATA, image.spacing, RECORD, axes="CZYX", name="cells",
        channels=image.channels, colours=image.colours,
    )  # fmt: skip
    file = start(tmp_path / "b.ome.zarr", blocks=(1, 16, 256, 256))
    write_all(file)
    file.finish(RECORD)
    assert contents(tmp_path / "a.ome.zarr") == contents(tmp_path / "b.ome.zarr")


sizes = st.integers(1, 9)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["YX", "ZYX", "CYX", "TCZYX"]).flatmap(
        lambda axes: st.tuples(
            st.just(axes), *[st.tuples(*[sizes] * len(axes))] * 2, st.randoms(use_true_random=False)
        )
    ),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.sampled_from(FORMATS),
)
def test_any_blocks_in_any_order(tmp_path, cut, dtype, kind):
    (axes, shape, blocks, order), (name, ngff) = cut, kind
    shape = (*shape[:-2], shape[-2] + 1, shape[-1] + 1)
    data = RNG.integers(0, 200, shape).astype(dtype)
    with_names = {"channels": (), "colours": ()}
    file = start(tmp_path / name, ngff, data=data, blocks=blocks, axes=axes, **with_names)
    origins = list(file.layout.origins)
    order.shuffle(origins)
    assert len(origins) == file.layout.count
    for origin in origins:
        file.write(origin, data[file.layout.region(origin)])
    file.finish(RECORD)
    image = open_image(tmp_path / name)
    kept = "".join(a for a, n in zip(axes, shape, strict=True) if n > 1 or a in "YX")
    assert image.axes == kept
    np.testing.assert_array_equal(image.data.compute().reshape(shape), data)


# -- several at once -----------------------------------------------------------------------------


def write_one(sent, origin):
    file = pickle.loads(sent)
    file.write(origin, DATA[file.layout.region(origin)])


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_threads_write_at_once(tmp_path, monkeypatch, name, ngff):
    monkeypatch.chdir(tmp_path)
    file = start(name, ngff)
    monkeypatch.chdir("/")  # as a worker may
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda origin: write_one(pickle.dumps(file), origin), file.layout.origins))
    file.finish({})
    np.testing.assert_array_equal(read_image(tmp_path / name).data, DATA)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_processes_write_at_once(tmp_path, name, ngff):
    file = start(tmp_path / name, ngff)
    sent = pickle.dumps(file)
    assert len(sent) < 2000
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        origins = list(file.layout.origins)
        list(pool.map(write_one, [sent] * len(origins), origins))
    assert file.done == set(origins)
    file.finish({})
    np.testing.assert_array_equal(read_image(tmp_path / name).data, DATA)


COPY = """
import resource, sys, numpy as np
from napari_deconv.files import open_image
from napari_deconv.files.atomic import put_in_place
from napari_deconv.files.blockwise import BlockFile
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
source, path = sys.argv[1:]
image = open_image(source)
blocks = (32, 256, 256)
file = BlockFile.open(path, image, image.data.dtype, blocks, fingerprint="", resume=False)
for origin in file.layout.origins:
    file.write(origin, image.data[file.layout.region(origin)].compute(scheduler="synchronous"))
file.finish({})
print(before, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in KiB there")
@pytest.mark.parametrize("name", ["b.ome.zarr", "b.ome.tif"])
def test_a_gibibyte_needs_little_memory(tmp_path, name):
    """Opened and copied block by block, with a pyramid: far from the 1024 MiB that it is."""
    shape = (256, 2048, 1024)
    block = RNG.integers(0, 4096, (32, 256, 256), dtype=np.uint16)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=shape, dtype="uint16", chunks=block.shape, compressors=None
    )
    for place in np.ndindex(8, 8, 4):
        corner = np.multiply(place, block.shape)
        array[tuple(slice(c, c + n) for c, n in zip(corner, block.shape, strict=True))] = block
    done = subprocess.run(
        [sys.executable, "-c", COPY, tmp_path / "a.zarr", tmp_path / name],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    before, peak = map(int, done.stdout.split())
    # most of it is what Zarr's threads keep of the allocator
    assert peak - before < 256
    copied = open_image(tmp_path / name).data
    assert copied.shape == shape
    np.testing.assert_array_equal(copied[64:96, 1792:, 512:768].compute(), block)
    if name.endswith(".zarr"):
        coarse = zarr.open_group(tmp_path / name, mode="r")["1"][:16, :128, :128]
        np.testing.assert_array_equal(coarse, np.rint(block_reduce(block, (2, 2, 2), np.mean)))

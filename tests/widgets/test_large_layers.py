"""Layers that are not in memory: the region in view, and all of it to the disk."""

from __future__ import annotations

import os
import re
import threading
from functools import partial

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hand import SPACING, blob
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QFileDialog

from napari_deconv import Psf, deconvolve, deconvolve_blocks, estimate_background, plan_blocks
from napari_deconv.cli import main
from napari_deconv.engines import set_limits
from napari_deconv.files import open_image, read_image, write_image
from napari_deconv.files.blockwise import BlockFile, begun
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.layers import KEY, letters, role, spacing

pytestmark = pytest.mark.usefixtures("dask_in_place")

SHAPE = (24, 72, 72)
POINTS = blob((7, 9, 9), (3, 4, 4)).astype(np.float32)
PSF = Psf(POINTS, SPACING)
UM = {"units": ("µm",) * 3, "scale": SPACING}
PLACE = UM | {"translate": (1, 2, 3), "affine": np.diag([1.0, 2, 1, 1]) + np.eye(4, k=3) * 7}
RUN = {"spacing": SPACING, "iterations": 6, "engine": "cpu"}


@pytest.fixture
def memory(monkeypatch, bead_image):
    """Limit the memory so that the image has to be cut; gives the plan of its tiles."""
    monkeypatch.setattr(get_plugin_settings("napari-deconv").compute, "memory", 0.004)
    set_limits(memory=4e6)
    plan = plan_blocks(bead_image, PSF, **RUN)
    assert np.prod(plan.counts) >= 4
    yield plan
    set_limits()


@pytest.fixture
def ready(viewer, open_widget):
    """Open the widget on the PSF and the last layer, its settings those of `RUN`."""

    def get_ready():
        viewer.add_image(POINTS, name="PSF", visible=False, **UM)
        viewer.layers.move(len(viewer.layers) - 1, 0)
        hand = open_widget("Deconvolution")
        hand.widget.device.choices = [("cpu", "cpu")]
        hand.widget.settings.iterations.value = RUN["iterations"]
        hand.widget.settings.stop.value = None
        hand.widget.settings.coarse_start.value = False
        return hand

    return get_ready


@pytest.fixture
def to_disk(monkeypatch):
    """Click the button, give the name of a file, and wait for the end; returns what was told."""

    def run(hand, path, *, wait=True):
        proposed, told = [], []
        given = lambda *given: proposed.append(given[2]) or (str(path), "")  # noqa: E731
        monkeypatch.setattr(QFileDialog, "getSaveFileName", given)
        hand.widget.told.connect(told.append)
        hand.widget.disk_button.click()
        if wait:
            hand.wait()
            hand.qtbot.wait(50)  # the layer comes in a turn of its own
        return proposed[0], told

    return run


@pytest.fixture
def cells(viewer, bead_image, tmp_path):
    """A file of others, opened by napari's own reader."""
    path = tmp_path / "cells.ome.zarr"
    write_image(path, bead_image, SPACING)
    return viewer.open(str(path), plugin="napari")[0]


def in_zarr(array):
    stored = zarr.create_array({}, shape=array.shape, chunks=(8, 36, 36), dtype=array.dtype)
    stored[...] = array
    return stored


def pyramid(array):
    lazy = da.from_array(array, chunks=(8, 36, 36))
    return [lazy, lazy[:, ::2, ::2], lazy[:, ::4, ::4]]


KINDS = {
    "Dask": (partial(da.from_array, chunks=(8, 36, 36)), {}),
    "Zarr": (in_zarr, {}),
    "pyramid": (pyramid, {"multiscale": True}),
    "mapped": (lambda array: array.view(np.memmap), {}),
}


def box_of(result, source):
    """Where a result lies in its source, from where both are in the world."""
    corners = np.array([np.zeros(result.ndim), np.array(result.data.shape) - 1])
    voxels = np.array([source.world_to_data(result.data_to_world(corner)) for corner in corners])
    np.testing.assert_allclose(voxels, np.round(voxels), atol=1e-6)
    low, high = np.round(voxels).astype(int)
    return tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))


# -- the region in view --------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_takes_the_region_in_view(viewer, ready, bead_image, kind):
    make, options = KINDS[kind]
    layer = viewer.add_image(make(bead_image), name="cells", rgb=False, **PLACE, **options)
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 3
    viewer.scene.camera.center = layer.data_to_world((5, 36, 30))
    viewer.dims.set_point(0, layer.data_to_world((5, 0, 0))[0])
    assert hand.widget.region.native.isVisibleTo(hand.widget)
    hand.run()
    result = viewer.layers[-1]
    assert result.name == "cells (region) · RL 6"
    box = box_of(result, layer)
    assert box[0] == slice(0, 5 + len(POINTS))  # as far as the PSF reaches
    field = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / (2 * SPACING[1], SPACING[2])
    for seen, pixels in zip(box[1:], field, strict=True):
        assert 0 < seen.start < seen.stop < 72
        assert 0 <= seen.stop - seen.start - pixels <= 3  # those at the borders in full
    np.testing.assert_array_equal(
        result.data, deconvolve(bead_image[box], PSF, **RUN).image, strict=True
    )
    line = hand.widget.result_line.text()
    assert line.startswith(f"Of the region in view, {result.data.shape[1]} × ")
    assert f"Background {estimate_background(bead_image[box], engine='cpu'):.4g}." in line
    recipe = Recipe.of(result.metadata[KEY])
    assert recipe.layers[0] == "cells (region)"
    arrays = hand.widget._inputs.arrays(viewer, recipe.layers)
    np.testing.assert_array_equal(recipe.run(arrays=arrays).image, result.data)


def test_labels_are_left_out_of_the_region(viewer, ready, bead_image):
    lazy = da.from_array(bead_image, chunks=(8, 36, 36))
    labels = np.zeros(SHAPE, int)
    labels[4:9, 30:40, 33:38] = 1
    layer = viewer.add_image(lazy, name="cells", **UM)
    viewer.add_labels(labels, name="dead", visible=False, **UM)
    hand = ready()
    hand.widget.leave_out.value = viewer.layers["dead"]
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    viewer.dims.set_current_step(0, 5)
    hand.run()
    result = viewer.layers[-1]
    box = box_of(result, layer)
    expected = deconvolve(bead_image[box], PSF, mask=labels[box] == 0, **RUN).image
    np.testing.assert_array_equal(result.data, expected)
    recipe = Recipe.of(result.metadata[KEY])
    arrays = hand.widget._inputs.arrays(viewer, recipe.layers)
    np.testing.assert_array_equal(recipe.run(arrays=arrays).image, expected)


def test_of_a_series_the_volume_in_view(viewer, ready, bead_image):
    series = np.stack([bead_image, bead_image[:, ::-1]])
    series[0, 0, 0, 0] += 1
    viewer.add_image(
        da.from_array(series, chunks=(1, 24, 36, 72)), name="cells", units=("second", *["µm"] * 3),
        scale=(2.5, *SPACING),
    )  # fmt: skip
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom /= 2
    viewer.dims.set_point(0, 2.5)
    viewer.dims.set_point(1, 12 * SPACING[0])
    hand.run()
    result = viewer.layers[-1]
    assert box_of(result, viewer.layers["cells"])[:2] == (slice(1, 2), slice(6, 19))
    expected = deconvolve(series[1:, 6:19], PSF, **RUN).image
    np.testing.assert_array_equal(result.data, expected)


def test_a_small_image_in_memory_has_no_regions(viewer, ready, bead_image, memory, said):
    viewer.add_image(np.zeros((9, 20, 20), np.float32), name="small", **UM)
    layer = viewer.add_image(bead_image, name="cells", **UM)
    hand = ready()
    widget = hand.widget
    parts = (widget.region.native, widget.disk_button)
    shown = lambda: [part.isVisibleTo(widget) for part in parts]  # noqa: E731
    assert shown() == [True, True]  # it does not fit
    widget.region.value = "all"
    hand.click()
    assert "choose the region in view, or run all to disk" in widget.result_line.text()
    widget.image.value = viewer.layers["small"]
    assert shown() == [False, False]
    get_plugin_settings("napari-deconv").compute.memory = 0
    widget.image.value = layer
    assert shown() == [False, False]


def test_it_fits_into_a_narrow_dock(viewer, ready, cells):
    widget = ready().widget
    assert widget.disk_button.isVisibleTo(widget)
    assert widget.minimumSizeHint().width() <= 320
    assert widget.run_button.nextInFocusChain() is widget.disk_button


# -- all of it, to the disk ----------------------------------------------------------------------
def test_all_of_a_file_as_the_shell_does_it(
    viewer, ready, to_disk, cells, bead_image, tmp_path, memory, monkeypatch
):
    cells.colormap = "green"
    hand = ready()
    proposed, told = to_disk(hand, tmp_path / "cells_rl")
    assert proposed == str(tmp_path / "cells_rl.ome.zarr")
    assert told[0] == memory.describe()
    assert re.search(r"takes about \d+ s here, .*\.\nMeasuring the image …$", told[1])
    assert told[-1].endswith("Writing cells_rl.ome.zarr …")
    line = hand.widget.result_line.text()
    level = estimate_background(bead_image, engine="cpu")
    assert line.startswith(
        f"Wrote cells_rl.ome.zarr in {np.prod(memory.counts)} tiles. "
        f"6 iterations done. Background {level:.4g}."
    )

    written = read_image(tmp_path / "cells_rl.ome.zarr")
    expected = deconvolve_blocks(da.from_array(bead_image), PSF, block=memory.block, **RUN)
    np.testing.assert_array_equal(written.data, expected)
    assert (written.spacing, written.axes) == (SPACING, "ZYX")

    result = viewer.layers[-1]
    assert (result.name, result.colormap.name) == ("cells.ome · RL 6", "green")
    assert role(result) == "result"
    assert (letters(result), spacing(result)) == ("ZYX", pytest.approx(SPACING))
    full = result.data[0] if result.multiscale else result.data
    assert isinstance(full, da.Array)
    np.testing.assert_array_equal(full, written.data)
    for voxel in ((0, 0, 0), (3, 50, 70)):
        np.testing.assert_allclose(result.data_to_world(voxel), cells.data_to_world(voxel))
    assert result.units == cells.units
    low, high = result.contrast_limits
    assert low < np.median(written.data)
    assert 0.1 * written.data.max() < high <= written.data.max()

    assert result.metadata[KEY]["made"]["stop_reason"] == "6 iterations done"
    assert result.metadata[KEY]["found"]["background"] == pytest.approx(level)
    recipe = Recipe.of(result.metadata[KEY])
    assert recipe.input.path == cells.source.path
    names = {"viewer": viewer}
    exec(recipe.to_python(), names)
    np.testing.assert_array_equal(names["result"].image, written.data)
    saved = str(tmp_path / "recipe.yaml")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (saved, ""))
    hand.widget.outcome.save_button.click()
    made = tmp_path / "shell.ome.zarr"
    outcome = CliRunner().invoke(main, ["run", saved, "-o", str(made)])
    assert outcome.exit_code == 0, outcome.output
    np.testing.assert_array_equal(read_image(made).data, written.data)


def test_tiles_have_a_coarse_start_too(viewer, ready, to_disk, cells, bead_image, tmp_path):
    hand = ready()
    hand.widget.settings.coarse_start.value = True
    to_disk(hand, tmp_path / "coarse.ome.zarr")
    parameters = viewer.layers[-1].metadata[KEY]["parameters"]
    assert parameters["levels"] == "auto"
    expected = deconvolve_blocks(
        da.from_array(bead_image), PSF, block=parameters["block"], levels="auto", **RUN
    )
    np.testing.assert_array_equal(read_image(tmp_path / "coarse.ome.zarr").data, expected)


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_what_is_written_stays_and_goes_on(
    viewer, ready, to_disk, cells, bead_image, tmp_path, memory, slowly, monkeypatch, how
):  # fmt: skip
    blocks = []
    write = BlockFile.write
    count = lambda file, origin, block: (write(file, origin, block), blocks.append(origin))  # noqa: E731
    monkeypatch.setattr(BlockFile, "write", count)
    path = tmp_path / "cells_rl.ome.zarr"
    hand = ready()
    to_disk(hand, path, wait=False)
    hand.qtbot.waitUntil(lambda: len(blocks) == 2, timeout=20_000)
    if how == "cancelled":
        hand.click()
        hand.wait()
        assert "Cancelled. The tiles that are written are kept" in hand.widget.result_line.text()
    else:
        viewer.window.remove_dock_widget(hand.widget)
        hand.qtbot.waitUntil(lambda: hand.widget._worker is None, timeout=20_000)
        viewer.layers.remove("PSF")
        hand = ready()
    assert 2 <= len(blocks) < np.prod(memory.counts)
    assert not path.exists()
    assert begun(path) is not None
    assert len(viewer.layers) == 2

    to_disk(hand, path)
    assert len(blocks) == len(set(blocks)) == np.prod(memory.counts)
    expected = deconvolve_blocks(da.from_array(bead_image), PSF, block=memory.block, **RUN)
    np.testing.assert_array_equal(read_image(path).data, expected)
    assert begun(path) is None


def test_it_goes_on_only_with_the_same_settings(
    ready, to_disk, cells, tmp_path, memory, slowly, said
):
    hand = ready()
    path = tmp_path / "cells_rl.ome.zarr"
    _, told = to_disk(hand, path, wait=False)
    hand.qtbot.waitUntil(lambda: len(told) == 3, timeout=20_000)
    hand.click()
    hand.wait()
    hand.widget.settings.iterations.value = 7
    to_disk(hand, path)
    line = hand.widget.result_line.text()
    assert "was begun with another input or other settings" in line
    assert begun(path) is not None


def test_refused_before_anything_is_done(
    viewer, ready, to_disk, cells, tmp_path, monkeypatch, said
):
    hand = ready()
    there = tmp_path / "there.ome.zarr"
    write_image(there, np.ones((8, 8), np.float32), name="old")
    to_disk(hand, there)
    assert "there.ome.zarr is there already" in hand.widget.result_line.text()
    assert read_image(there).data.shape == (8, 8)
    to_disk(hand, tmp_path / "none" / "a.zarr")
    assert "There is no folder" in hand.widget.result_line.text()
    monkeypatch.setattr(os, "access", lambda *_: False)
    to_disk(hand, tmp_path / "a.zarr")
    assert "you may not write in the folder" in hand.widget.result_line.text()
    assert not list(tmp_path.glob(".*"))
    to_disk(hand, "")  # cancelled
    assert hand.widget._worker is None


def test_nothing_is_read_here(viewer, ready, to_disk, bead_image, tmp_path, memory, monkeypatch):
    """But for what napari draws: an array that was computed, and is in no file."""
    readers = []

    def read(block):
        readers.append(threading.current_thread())
        return block

    lazy = da.from_array(bead_image, chunks=(1, 72, 72)).map_blocks(read, dtype=bead_image.dtype)
    viewer.add_image(lazy, name="cells / 2", contrast_limits=(0, 9), **UM)
    hand = ready()
    hand.qtbot.wait(100)
    readers.clear()
    monkeypatch.chdir(tmp_path)
    proposed, _ = to_disk(hand, tmp_path / "out.ome.zarr")
    assert proposed == "cells_2_rl.ome.zarr"
    here = threading.main_thread()
    assert sum(reader is not here for reader in readers) >= len(bead_image)
    assert sum(reader is here for reader in readers) <= 2
    assert "“cells / 2” is in no file" in hand.widget.result_line.text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "r.yaml"), ""))
    hand.widget.outcome.save_button.click()
    assert not (tmp_path / "r.yaml").exists()


def test_channels_and_times_are_looped(viewer, ready, to_disk, bead_image, tmp_path):
    series = np.stack([bead_image[:9, :40, :40], 3 * bead_image[9:18, :40, :40]])
    series = np.stack([series, series[..., ::-1]])
    path = tmp_path / "all.ome.zarr"
    write_image(
        path, series, SPACING, axes="TCZYX", channels=["DAPI", "GFP"], time_interval=3.0,
        colours=["0000FF", "00FF00"],
    )  # fmt: skip
    viewer.open(str(path), plugin="napari")
    hand = ready()
    to_disk(hand, tmp_path / "all_rl.ome.zarr")
    written = open_image(tmp_path / "all_rl.ome.zarr")
    assert (written.axes, written.spacing, written.time_interval) == ("TCZYX", SPACING, 3.0)
    assert (written.channels, written.colours) == (("DAPI", "GFP"), ("0000FF", "00FF00"))
    for index in np.ndindex(2, 2):
        expected = deconvolve(series[index], PSF, **RUN).image
        np.testing.assert_allclose(written.data[index], expected, atol=1e-3 * expected.max())
    assert viewer.layers[-1].ndim == 5


def test_a_channel_is_known_in_its_file(viewer, ready, to_disk, bead_image, tmp_path):
    path = tmp_path / "both.ome.zarr"
    small = bead_image[:9, :40, :40]
    write_image(path, np.stack([small, 2 * small]), SPACING, channels=["a", "b"])
    viewer.open(str(path), plugin="napari", channel_axis=0)
    hand = ready()
    hand.widget.voxel_size.field.value = " × ".join(map(str, SPACING))
    to_disk(hand, tmp_path / "out.ome.zarr")
    recipe = Recipe.of(viewer.layers[-1].metadata[KEY])
    assert (recipe.input.path, recipe.input.channel) == (str(path), 1)
    assert open_image(tmp_path / "out.ome.zarr").channels == ("b",)
    again = recipe.run(arrays={"PSF": PSF.data})
    written = read_image(tmp_path / "out.ome.zarr").data
    np.testing.assert_allclose(again.image, written, atol=1e-3 * written.max())

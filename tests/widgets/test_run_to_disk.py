"""All of a layer that is not in memory, to the disk."""

from __future__ import annotations

import os
import re
import threading
from unittest.mock import patch

import dask
import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner
from hand import SPACING
from large_cases import PSF, RUN, UM
from qtpy.QtWidgets import QFileDialog

from napari_deconv import deconvolve, deconvolve_blocks, estimate_background
from napari_deconv.cli import main
from napari_deconv.files import open_image, read_image, write_image
from napari_deconv.files.blockwise import BlockFile
from napari_deconv.files.lock import alone
from napari_deconv.files.unfinished import begun
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.layers import KEY, letters, role, spacing

pytestmark = pytest.mark.usefixtures("dask_in_place")


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
    hand.widget.outcome.recipe.save_button.click()
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


def test_a_rule_is_told_in_the_words_of_the_fields(ready, to_disk, cells, tmp_path, memory):
    hand = ready()
    hand.widget.settings.stop.value = "quality"
    to_disk(hand, tmp_path / "out.ome.zarr")
    text = hand.widget.settings.stop.native.currentText()
    assert f"found by “Stop” {text}. Background" in hand.widget.result_line.text()


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_what_is_written_stays_and_goes_on(
    viewer, ready, to_disk, cells, bead_image, tmp_path, memory, slowly, monkeypatch, how
):  # fmt: skip
    blocks = []
    write = BlockFile.write
    count = lambda file, origin, *block: (write(file, origin, *block), blocks.append(origin))  # noqa: E731
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

    there = len(blocks)
    _, told = to_disk(hand, path)
    assert f"{there} of {np.prod(memory.counts)} tiles are there" in told[1]
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


def test_refused_before_a_name_is_asked_for(viewer, ready, to_disk, cells, tmp_path, said):
    hand = ready()
    widget, path = hand.widget, tmp_path / "out.ome.zarr"
    widget.voxel_size.field.value = "0.2 × 0.1"
    assert to_disk(hand, path)[0] is None
    assert "is not a voxel size here" in widget.result_line.text()
    widget.voxel_size.field.value = " × ".join(map(str, SPACING))
    widget.settings.method.value = "blind"
    assert to_disk(hand, path)[0] is None
    assert "each tile would find a PSF of its own" in widget.result_line.text()
    widget.settings.method.value = "richardson_lucy"
    widget.psf.value = None
    assert to_disk(hand, path)[0] is None
    assert "No PSF is chosen" in widget.result_line.text()
    assert not path.exists()


def test_no_name_no_run(viewer, ready, to_disk, cells):
    """And what the last run has left to go on from stays."""
    hand = ready()
    hand.run()
    assert hand.widget.going_on.button.isVisibleTo(hand.widget)
    proposed, _ = to_disk(hand, "")
    assert proposed.endswith("cells_rl.ome.zarr")
    assert hand.widget._worker is None
    assert hand.widget.going_on.button.isVisibleTo(hand.widget)


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
    hand.widget.outcome.recipe.save_button.click()
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


def test_a_run_to_the_disk_goes_to_the_disk_again(viewer, ready, to_disk, cells, tmp_path):
    hand = ready()
    to_disk(hand, tmp_path / "first.ome.zarr")
    again = hand.widget.history.fill().actions()[0].menu().actions()[0]
    with patch.object(
        QFileDialog, "getSaveFileName", return_value=(str(tmp_path / "second.ome.zarr"), "")
    ):
        again.trigger()
    hand.wait()
    first, second = (read_image(tmp_path / f"{name}.ome.zarr") for name in ("first", "second"))
    np.testing.assert_array_equal(first.data, second.data)


def test_times_are_times_where_the_reader_does_not_say_so(
    viewer, ready, to_disk, bead_image, tmp_path
):
    series = np.stack([bead_image[:9, :40, :40], bead_image[9:18, :40, :40]])
    path = tmp_path / "times.ome.tif"
    write_image(path, series, SPACING, axes="TZYX", time_interval=3.0)
    viewer.open(str(path), plugin="napari")
    hand = ready()
    hand.widget.voxel_size.field.value = " × ".join(map(str, SPACING))
    to_disk(hand, tmp_path / "out.ome.zarr")
    written = open_image(tmp_path / "out.ome.zarr")
    assert (written.axes, written.time_interval) == ("TZYX", 3.0)


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


def test_another_run_is_not_disturbed(ready, to_disk, cells, tmp_path, said):
    path, hand = tmp_path / "cells_rl.ome.zarr", ready()
    with alone(path):
        to_disk(hand, path)
    assert "cells_rl.ome.zarr is being written by another run" in hand.widget.result_line.text()
    to_disk(hand, path)
    assert read_image(path).spacing == SPACING


def test_tiles_are_written_where_dask_computes(ready, to_disk, cells, bead_image, memory, tmp_path):
    """As after `use_cluster` in napari's console: by a worker, of the same bits."""
    from distributed import Client, LocalCluster

    path, written = tmp_path / "cells_rl.ome.zarr", set()
    note = lambda *_: written.update(f.name for f in tmp_path.glob(".*.part/*/*.journal"))  # noqa: E731
    hand = ready()
    hand.widget.progress_bar.valueChanged.connect(note)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        dask.config.set(scheduler=None),
        Client(cluster) as client,
    ):
        _, told = to_disk(hand, path)
        (worker,) = client.run(os.getpid).values()
    assert "on 1 worker." in told[-1]
    assert {name.rpartition("-")[2] for name in written} == {f"{worker}.journal"}
    expected = deconvolve_blocks(da.from_array(bead_image), PSF, block=memory.block, **RUN)
    np.testing.assert_array_equal(read_image(path).data, expected)

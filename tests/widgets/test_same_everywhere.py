"""One recipe in the window, in the shell and on a cluster."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner
from napari.settings import get_plugin_settings

from napari_deconv import set_limits
from napari_deconv.cli import main
from napari_deconv.files import read_image


@pytest.mark.parametrize(("stop", "limit"), [(None, 4e6), ("consensus", 7e6)])
@pytest.mark.usefixtures("dask_in_place", "cells", "memory")
def test_window_shell_and_cluster_give_the_same_numbers(
    ready, to_disk, tmp_path, monkeypatch, stop, limit
):
    from distributed import LocalCluster

    monkeypatch.setattr(get_plugin_settings("napari-deconv").compute, "memory", limit / 1e9)
    set_limits(memory=limit)
    hand = ready()
    hand.widget.settings.stop.value = stop
    to_disk(hand, tmp_path / "window.ome.zarr")
    recipe = tmp_path / "recipe.yaml"
    hand.widget.outcome.recipe.save(recipe)
    run(f"run {recipe} -o {tmp_path / 'shell.ome.zarr'}")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        scheduler = f"--scheduler {cluster.scheduler_address}"
        run(f"run {recipe} -o {tmp_path / 'cluster.ome.zarr'} {scheduler}")
    window, shell, there = (
        read_image(tmp_path / f"{name}.ome.zarr").data for name in ("window", "shell", "cluster")
    )
    assert int(re.search(r"in (\d+) tiles", hand.widget.result_line.text())[1]) > 1
    assert window.max() > 10 * window.mean() > 0
    np.testing.assert_array_equal(shell, window)
    np.testing.assert_array_equal(there, window)


def run(command):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output

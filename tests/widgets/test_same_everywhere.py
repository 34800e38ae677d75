"""One recipe in the window, in the shell and on a cluster."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from napari_deconv.cli import main
from napari_deconv.files import read_image


@pytest.mark.usefixtures("dask_in_place")
def test_window_shell_and_cluster_give_the_same_numbers(ready, to_disk, cells, tmp_path, memory):
    from distributed import LocalCluster

    hand = ready()
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
    assert np.prod(memory.counts) > 1
    assert window.max() > 10 * window.mean() > 0
    np.testing.assert_array_equal(shell, window)
    np.testing.assert_array_equal(there, window)


def run(command):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output

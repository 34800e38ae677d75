"""The benchmark of blocks counts as it says."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks import block_work, blocks
from benchmarks.gpu import BYTES

from napari_deconv import read_image


def speed(device, side, seconds, around=20):
    grid = (side + around,) * 3
    return blocks.Speed(device, (side,) * 3, grid, 30, seconds, 10**6, 10**6)


def test_the_volume_has_no_edges_where_it_is_put_together(tmp_path, monkeypatch):
    cells = np.random.default_rng(0).integers(0, 60000, (4, 16, 16), dtype=np.uint16)
    monkeypatch.setattr(block_work, "_CELLS", cells.shape)
    monkeypatch.setattr(
        block_work, "cells_widefield", lambda *_, **__: SimpleNamespace(image=cells)
    )
    block_work.make_volume(tmp_path / "a.ome.zarr", (10, 40, 16))
    image = read_image(tmp_path / "a.ome.zarr")
    expected = np.pad(cells, ((0, 6), (0, 24), (0, 0)), "symmetric")
    np.testing.assert_array_equal(image.data, expected)
    assert image.spacing == block_work.SPACING


def test_the_rate_is_that_of_the_best_tile_without_its_overlap(monkeypatch):
    speeds = [speed("A", 100, 3.0), speed("A", 200, 12.0), speed("B", 100, 6.0)]
    monkeypatch.setattr(blocks, "list_devices", lambda: [SimpleNamespace(kind="GPU")])
    assert blocks.rates(speeds) == {"A": pytest.approx(2e7), "B": pytest.approx(5e6)}
    monkeypatch.setattr(blocks, "list_devices", list)
    bound = blocks.rates(speeds)[blocks._BOUND]
    assert bound == pytest.approx((200 / 220) ** 3 * 1e12 / sum(BYTES.values()))


def test_a_terabyte_costs_what_can_be_computed_by_hand():
    # 5e11 voxels × 30 / 1e9 are 15000 s; 64 devices do 64e9 / 30 voxels of two bytes a second.
    rows = blocks.cost_table({"A": 1e9, "B": 1e7}, 30).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells == [
        ["A", "1000", "4.2 h", "31 min", "4 min", "4.27 GB/s"],
        ["B", "10", "17 days", "52.1 h", "6.5 h", "0.0427 GB/s"],
    ]


def test_only_the_first_run_is_killed():
    """After the tiles come as many pieces of the pyramid."""

    def process(*done, ended=0):
        told = [{"blocks": 6}, *({"done": n, "blocks": all_} for n, all_ in done), {"seconds": 1}]
        killed = []
        return SimpleNamespace(
            stdout=map(json.dumps, told), kill=lambda: killed.append(True), wait=lambda: ended
        ), killed

    second, killed = process((6, 6), (12, 12))
    assert blocks._steps(second)[-1] == {"seconds": 1}
    assert not killed
    first, killed = process((1, 6), (2, 6), (3, 6))
    assert blocks._steps(first, kill_after=1 / 3)[-1]["done"] == 2
    assert killed


def test_no_page_claims_what_was_not_so():
    volume = blocks.Volume((8, 8, 8), (4, 4, 4), 10, 8, 3, 3, 60.0, 1.0, 50.0, 10**9)
    blocks.check(volume, 10**9)
    with pytest.raises(AssertionError, match=r"held 0\.93 GiB, 0\.84 GiB were allowed"):
        blocks.check(volume, 0.9e9)
    with pytest.raises(AssertionError, match=r"3 tiles were on the disk .* only 2 were there"):
        blocks.check(replace(volume, kept=2), 10**9)

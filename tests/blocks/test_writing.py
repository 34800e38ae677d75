"""`write_blocks`: what is prepared goes to a file, can be interrupted, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_deconv import (
    DeconvError,
    DeconvWarning,
    begun_blocks,
    make_psf,
    open_image,
    plan_blocks,
    prepare_blocks,
    read_image,
    write_blocks,
    write_image,
)
from napari_deconv._progress import Progress
from napari_deconv.blocks.storing import check_begun
from napari_deconv.files import Image, provenance_of
from napari_deconv.files.lock import alone

SPACING = (0.2, 0.1, 0.1)
PSF = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))
OPTIONS = {"spacing": SPACING, "iterations": 3, "engine": "cpu"}
TILES = {"block": (12, 20, 20), "overlap": (4, 6, 6)}
ABOUT = {"channels": ("DAPI", "GFP"), "colours": ("0000FF", "00FF00")}


@pytest.fixture
def image(tmp_path):
    """Two channels in a file."""
    voxels = np.random.default_rng(0).poisson(20, (2, 12, 40, 40)).astype(np.uint16)
    write_image(tmp_path / "cells.ome.zarr", voxels, SPACING, **ABOUT)
    return open_image(tmp_path / "cells.ome.zarr")


def prepared(image, **more):
    return prepare_blocks(image.data, PSF, **OPTIONS | TILES | more)


def stop_after(tiles):
    def stop(progress):
        if progress.iteration == tiles:
            raise KeyboardInterrupt

    return stop


def test_a_file_says_what_the_image_s_does_and_how_it_was_made(image, tmp_path):
    result, path = prepared(image), tmp_path / "out.ome.zarr"
    record = write_blocks(path, result, image, metadata={"note": "a"})
    written = read_image(path)
    np.testing.assert_array_equal(written.data, result.image.compute(scheduler="synchronous"))
    assert (written.spacing, written.axes) == (SPACING, "CZYX")
    assert {name: getattr(written, name) for name in ABOUT} == ABOUT
    assert provenance_of(path).items() >= record.items()
    assert (record["operation"], record["engine"]) == ("deconvolve_blocks", "cpu")
    assert record["parameters"]["iterations"] == 3
    assert (record["made"]["found"], record["note"]) == (result.found, "a")
    assert record["made"]["seconds"] > result.recipe["made"]["seconds"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.ome.zarr", "out.ome.zarr"]


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.ome.tif"])
def test_the_same_call_goes_on(image, tmp_path, name):
    path, done = tmp_path / name, []
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, prepared(image), image, callback=stop_after(3))
    assert not path.exists()
    result = prepared(image)
    write_blocks(path, result, image, callback=lambda progress: done.append(progress.iteration))
    assert list(dict.fromkeys(done)) == [3, 4, 5, 6, 7, 8]
    expected = result.image.compute(scheduler="synchronous")
    np.testing.assert_array_equal(read_image(path).data, expected)


def test_begun_anew_where_it_is_asked_for(image, tmp_path):
    path, done = tmp_path / "out.ome.zarr", []
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, prepared(image), image, callback=stop_after(3))
    result = prepared(image, iterations=2)
    with pytest.warns(DeconvWarning, match="3 of its blocks were written"):
        write_blocks(path, result, image, resume=False, callback=done.append)
    assert list(dict.fromkeys(replace(each, part=0.0) for each in done)) == [
        Progress(n, 8) for n in range(9)
    ]
    far = [each.iteration + each.part for each in done]
    assert far == sorted(far)
    assert set(far) == {0.5 * n for n in range(1, 17)}
    expected = result.image.compute(scheduler="synchronous")
    np.testing.assert_array_equal(read_image(path).data, expected)


def test_the_pyramid_is_told_of_and_can_be_stopped(tmp_path):
    voxels = np.random.default_rng(0).poisson(20, (4, 600, 40)).astype(np.uint16)
    image = Image(voxels, SPACING, "ZYX")
    result = prepared(image, iterations=1, block=(4, 150, 40))
    write_blocks(tmp_path / "whole.ome.zarr", result, image)
    path, told = tmp_path / "out.ome.zarr", []

    def stop(progress):
        told.append(progress)
        if len(told) > 8 and progress.iterations != 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, result, image, callback=stop)
    chunks = told[-1].iterations
    assert told[-1] == Progress(1, chunks)
    assert not path.exists()
    told.clear()
    write_blocks(path, result, image, callback=told.append)
    assert [progress for progress in told if progress.iterations == chunks] == [
        Progress(n, chunks) for n in range(1, chunks + 1)
    ]
    whole, written = (zarr.open_group(tmp_path / f"{name}.ome.zarr") for name in ("whole", "out"))
    assert sorted(whole) == sorted(written) == ["0", "1", "2"]
    for name, level in whole.arrays():
        np.testing.assert_array_equal(written[name], level)
    assert written["2"].shape == (2, 150, 10)


def test_tiles_stay_though_another_amount_of_memory_is_free(image, tmp_path):
    path = tmp_path / "out.ome.zarr"
    assert begun_blocks(path) is None
    before = prepared(image, block=begun_blocks(path), memory=1e6)
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, before, image, callback=stop_after(1))
    now = prepared(image, block=None, memory=8e6)
    assert now.image.chunks != before.image.chunks
    with pytest.raises(DeconvError, match="begun with another size of blocks"):
        write_blocks(path, now, image)
    assert begun_blocks(path) == before.image.chunksize
    now = prepared(image, block=begun_blocks(path), memory=8e6)
    write_blocks(path, now, image)
    expected = before.image.compute(scheduler="synchronous")
    np.testing.assert_array_equal(read_image(path).data, expected)
    assert begun_blocks(path) is None


def test_the_fingerprint_is_of_all_that_the_voxels_depend_on(image):
    def fingerprint(data=image.data, psf=PSF, **more):
        return prepare_blocks(data, psf, **OPTIONS | TILES | more).fingerprint

    voxels = image.data.compute(scheduler="synchronous")
    same = fingerprint()
    level, mask = np.full(voxels.shape, 2.0), np.ones(voxels.shape, bool)
    other_voxel, other_level, other_mask = voxels.copy(), level.copy(), mask.copy()
    for array in (other_voxel, other_level, other_mask):
        array[1, 11, 39, 39] = 0
    wider = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.26))
    others = [
        fingerprint(other_voxel), fingerprint(psf=wider), fingerprint(iterations=4),
        fingerprint(overlap=(4, 6, 7)), fingerprint(background=2), fingerprint(background=3),
        fingerprint(background=level), fingerprint(background=other_level), fingerprint(mask=mask),
        fingerprint(mask=other_mask), fingerprint(levels=2), fingerprint(acceleration=None),
        fingerprint(boundary="half_padded"), fingerprint(voxels.astype(np.float32)),
    ]  # fmt: skip
    assert len({same, *others}) == 1 + len(others)
    # Not of how the voxels are kept, nor of where they are computed.
    kept = zarr.array(voxels, chunks=(1, 6, 40, 40))
    assert fingerprint(voxels) == fingerprint(kept) == same
    assert fingerprint(da.from_array(voxels, 7)) == fingerprint(engine="opencl") == same


def test_what_is_known_without_reading_is_checked_before(image, tmp_path):
    path = tmp_path / "out.ome.zarr"

    def planned(array=image.data, psf=PSF, **more):
        # of its voxels there is only one
        unread = np.broadcast_to(np.zeros((), array.dtype), array.shape)
        return [plan_blocks(unread, psf, **OPTIONS | TILES | more)]

    assert check_begun(path, planned()) == ""
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, prepared(image), image, callback=stop_after(3))
    assert check_begun(path, planned()).startswith("3 of 8 tiles are there")
    assert check_begun(path, planned(engine="opencl")).startswith("3 of 8 tiles are there")
    with pytest.raises(DeconvError, match=r"another dtype \(float32, now uint16\), and 3 of its"):
        check_begun(path, planned(), "uint16")
    wider = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.26))
    others = [
        planned(psf=wider), planned(iterations=4), planned(stop="quality"), planned() * 2,
        planned(image.data[:1]), planned(overlap=(4, 6, 7)),
    ]  # fmt: skip
    for plans in others:
        with pytest.raises(DeconvError, match="another input or other settings, and 3 of its"):
            check_begun(path, plans)


def test_an_overlap_that_was_given_is_checked_before(image, tmp_path):
    """Unlike one that follows from a weight, which only the image's voxels tell."""
    path, auto = tmp_path / "out.ome.zarr", {"method": "wiener", "regularization_weight": "auto"}
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, prepared(image, **auto), image, callback=stop_after(1))
    plans = [
        plan_blocks(image.data, PSF, **OPTIONS | TILES | auto | {"overlap": n}) for n in (9, None)
    ]
    for plan in plans:
        with pytest.raises(DeconvError, match="other settings"):
            check_begun(path, [plan])
    assert plans[0].fingerprint != plans[1].fingerprint


def test_another_image_or_recipe_does_not_go_on(image, tmp_path):
    path = tmp_path / "out.ome.zarr"
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, prepared(image), image, callback=stop_after(3))
    other = replace(image, data=image.data[:, ::-1])
    for result in (prepared(image, iterations=4), prepared(other)):
        with pytest.raises(DeconvError) as refused:
            write_blocks(path, result, image)
        said = str(refused.value)
        assert "another input or other settings, and 3 of its blocks are written" in said
        assert "choose another name, or begin anew (in the shell with --redo)" in said
        assert "resum" not in said  # of which napari has no option
    write_blocks(path, prepared(image), image)


def test_whole_numbers_and_an_older_format(image, tmp_path):
    path = tmp_path / "out.ome.zarr"
    result = prepared(image)
    write_blocks(path, result, image, dtype="uint16", ngff="0.4")
    expected = np.rint(result.image.compute(scheduler="synchronous"))
    np.testing.assert_array_equal(read_image(path).data, expected)
    assert read_image(path).data.dtype == np.uint16
    assert zarr.open_group(path).metadata.zarr_format == 2


def test_the_image_has_to_be_that_of_the_result(image, tmp_path):
    with pytest.raises(DeconvError, match=r"\(12, 40, 40\), the result \(2, 12, 40, 40\)"):
        write_blocks(tmp_path / "a.zarr", prepared(image), image.of_channel(0, ""))


# -- one writer at a time --------------------------------------------------------------------------
HOLD = """
import sys, time
from napari_deconv.files.lock import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes the file."""
    path = tmp_path / "out.ome.zarr"
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_ends(image, holder):
    path, process = holder
    result = prepared(image)
    with pytest.raises(DeconvError, match="is being written by another run: wait until that has"):
        write_blocks(path, result, image)
    with pytest.raises(DeconvError, match="is being written by another run"):
        write_image(path, np.ones((4, 8, 8), np.float32))
    assert not path.with_name(f".{path.name}.part").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    write_blocks(path, result, image)
    assert not path.with_name(f".{path.name}.lock").exists()


def test_two_runs_of_one_process_are_kept_apart(tmp_path):
    first, second = tmp_path / "a.zarr", tmp_path / "b.zarr"

    def write(path):
        with alone(path):
            return "written"

    with ThreadPoolExecutor(1) as other, alone(first), alone(second):
        for _ in range(2):
            assert write(first) == "written"  # by what the run itself calls
            with pytest.raises(DeconvError, match=r"a\.zarr is being written"):
                other.submit(write, first).result()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(write, first).result() == write(first) == "written"
    assert not list(tmp_path.iterdir())


def test_of_many_processes_one_writes_at_a_time(tmp_path):
    """Each notes when it begins and ends, whoever else is turned away meanwhile."""
    code = """
import os, sys, time
from pathlib import Path
from napari_deconv.errors import DeconvError
from napari_deconv.files.lock import alone
log = Path(sys.argv[2])
log.with_name(f"{os.getpid()}.ready").touch()
while len(list(log.parent.glob("*.ready"))) < 3:
    time.sleep(0.001)
times = 0
while times < 10:
    try:
        with alone(sys.argv[1]), log.open("a", buffering=1) as file:
            print("begin", file=file)
            time.sleep(0.002)
            print("end", file=file)
        times += 1
    except DeconvError:
        time.sleep(0.001)
"""
    log = tmp_path / "log"
    command = [sys.executable, "-c", code, str(tmp_path / "a.zarr"), str(log)]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait(60) == 0
    lines = log.read_text().split()
    assert lines == ["begin", "end"] * 30
    assert not (tmp_path / ".a.zarr.lock").exists()

"""Files whose writing was stopped, killed or refused: nothing half-written, and gone on with."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from block_files import DATA, FORMATS, RECORD, contents, start, write_all
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import read_image, write_image
from napari_deconv.files.atomic import put_in_place
from napari_deconv.files.blockwise import BlockFile
from napari_deconv.files.unfinished import begun, written

SCRIPT = """
import sys, numpy as np
sys.path.insert(0, {tests!r})
from block_files import DATA, RECORD, start, write_all
file = start({path!r}, {ngff!r}, resume=True)
print("begun", flush=True)
write_all(file)
file.finish(RECORD)
"""


def run_and_kill(path, ngff, wait):
    """Run what writes the file; kill it so long after it has begun. Tell whether it was done."""
    script = SCRIPT.format(tests=str(Path(__file__).parent), path=str(path), ngff=ngff)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        time.sleep(wait)
        process.kill()
        return process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_killed_at_any_moment_and_resumed(tmp_path, name, ngff):
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    begin = time.perf_counter()
    file = start(whole, ngff)
    write_all(file)
    file.finish(RECORD)
    lasts = time.perf_counter() - begin
    path = tmp_path / name
    seen = [0]
    moments = random.Random(1)
    for _ in range(6):
        if run_and_kill(path, ngff, moments.uniform(0, lasts / 2)):
            break
        if path.exists():  # killed after it was renamed: it is complete
            break
        seen.append(len(start(path, ngff, resume=True).done))
    assert seen == sorted(seen)
    assert seen[-1] > 0
    if not path.exists():
        file = start(path, ngff, resume=True)
        write_all(file)
        file.finish(RECORD)
    np.testing.assert_array_equal(read_image(path).data, DATA)
    assert read_image(path).metadata == RECORD
    if path.is_dir():
        assert contents(path) == contents(whole)


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
@pytest.mark.parametrize("moment", ["complete", "put_in_place"])
def test_interrupted_while_it_is_finished(tmp_path, monkeypatch, name, ngff, moment):
    path = tmp_path / name
    write_image(path, DATA[0, :2])
    file = start(path, ngff)
    write_all(file)

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        where = "napari_deconv.files.blockwise.put_in_place"
        if moment == "complete":
            kind = "zarr_target.ZarrTarget" if path.is_dir() else "tiff_target.TiffTarget"
            where = f"napari_deconv.files.{kind}.complete"
        patch.setattr(where, fail)
        with pytest.raises(KeyboardInterrupt):
            file.finish(RECORD)
    np.testing.assert_array_equal(read_image(path).data, DATA[0, :2])
    file = start(path, ngff, resume=True)
    assert len(file.done) == file.layout.count
    file.finish(RECORD)
    np.testing.assert_array_equal(read_image(path).data, DATA)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("resume", [True, False])
def test_killed_between_moving_the_old_store_and_the_new(tmp_path, monkeypatch, resume):
    """The only moment at which the name is gone: either of the two comes back."""
    path = tmp_path / "a.ome.zarr"
    write_image(path, DATA[0])
    file = start(path)
    write_all(file)

    def half(_, path, aside):
        path.replace(aside)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("napari_deconv.files.blockwise.put_in_place", half)
        with pytest.raises(KeyboardInterrupt):
            file.finish({})
    assert not path.exists()
    if resume:
        start(path, resume=True).finish({})
        np.testing.assert_array_equal(read_image(path).data, DATA)
    else:
        with pytest.warns(DeconvWarning, match="36 of its blocks were written"):
            start(path)
        np.testing.assert_array_equal(read_image(path).data, DATA[0])


def test_a_refused_rename_leaves_the_old_store(tmp_path):
    path = tmp_path / "a.ome.zarr"
    write_image(path, DATA[0])
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "missing", path, tmp_path / "aside")
    np.testing.assert_array_equal(read_image(path).data, DATA[0])


def test_a_torn_line_of_the_journal(tmp_path):
    path = tmp_path / "a.ome.zarr"
    file = start(path)
    origins = list(file.layout.origins)
    for origin in origins[:3]:
        file.write(origin, DATA[file.layout.region(origin)])
    (journal,) = (tmp_path / ".a.ome.zarr.part").rglob("*.journal")
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n")
    for size in range(last + 1, len(whole) - 1):
        journal.write_bytes(whole[:size])
        assert start(path, resume=True).done == set(origins[:2])
    # what is noted next is not lost to the torn line
    file.write(origins[5], DATA[file.layout.region(origins[5])])
    assert file.done == {*origins[:2], origins[5]}
    journal.write_bytes(whole + b"\n\x00\xff not text\n[1]\n")
    assert file.done == set(origins[:3])


def test_what_was_begun_otherwise_is_not_gone_on_with(tmp_path):
    path = tmp_path / "a.ome.zarr"
    assert begun(path) is None
    file = start(path)
    file.write((1, 8, 128, 145), DATA[1:, 8:16, 128:256, 145:])
    assert begun(path).layout == file.layout
    with pytest.raises(
        DeconvError, match=r"another input or other settings, and 1 of its blocks are"
    ):
        start(path, resume=True, fingerprint="y")
    with pytest.raises(DeconvError, match=r"another size of blocks \(\[1, 8, 128, 145\], now"):
        start(path, resume=True, blocks=(1, 8, 128, 290))
    with pytest.raises(DeconvError, match=r"another format \(0\.5, now 0\.4\)"):
        start(path, "0.4", resume=True)
    with pytest.raises(DeconvError, match="another dtype"):
        start(path, resume=True, data=DATA.astype(np.uint16))
    with pytest.raises(DeconvError, match="another shape"):
        start(path, resume=True, data=DATA[:, 1:])
    assert start(path, resume=True).done == {(1, 8, 128, 145)}
    with pytest.warns(DeconvWarning, match="1 of its blocks were written. They were thrown away"):
        file = start(path)
    assert file.done == set()
    # a folder that a kill left before it had begun
    (tmp_path / ".a.ome.zarr.part" / "begun.json").write_text('{"fingerprint": "x", "sha')
    assert start(path, resume=True).done == set()


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_a_block_is_on_the_disk_before_it_is_noted(tmp_path, monkeypatch, name, ngff):
    file = start(tmp_path / name, ngff)
    flush, flushed = os.fsync, []

    def watched(descriptor):
        flushed.append(os.fstat(descriptor).st_ino)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    file.write((0, 0, 0, 0), DATA[:1, :8, :128, :145])
    store = file.parts.store
    chunks = [path for path in store.rglob("*") if path.name[0].isdigit()]
    voxels = [path for path in chunks if path.is_file()] or [store]
    (journal,) = store.parent.glob("*.journal")
    assert sorted(flushed[:-1]) == sorted(path.stat().st_ino for path in voxels)
    assert flushed[-1] == journal.stat().st_ino


@pytest.mark.parametrize("ngff", ["0.4", "0.5"])
def test_what_zarr_was_at_when_it_was_killed_is_not_in_the_file(tmp_path, ngff):
    path = tmp_path / "a.ome.zarr"
    write_all(start(path, ngff))
    chunk = max(path.with_name(".a.ome.zarr.part").rglob("0/*"))
    (chunk.parent / "1.b0b.partial").write_bytes(b"half a chunk")
    start(path, ngff, resume=True).finish({})
    assert [name for name in contents(path) if "partial" in name] == []
    np.testing.assert_array_equal(read_image(path).data, DATA)


def test_giving_up_that_is_interrupted_leaves_nothing_to_go_on_with(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "a.ome.zarr"
    file = start(path)
    write_all(file)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            file.discard()
    assert begun(path) is None
    assert start(path, resume=True).done == set()


def test_an_image_in_memory_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("napari_deconv.files.zarr_target.ZarrTarget.write", full)
    with pytest.raises(DeconvError, match=r"No space left on device\.$"):  # nothing is kept
        write_image(tmp_path / "a.ome.zarr", DATA)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_block_and_what_is_missing(tmp_path):
    file = start(tmp_path / "a.ome.zarr")
    with pytest.raises(DeconvError, match="are no block of"):
        file.write((0, 4, 0, 0), DATA[:1, 4:12, :128, :145])
    with pytest.raises(DeconvError, match="are no block of"):
        file.write((0, 0, 0, 0), DATA[:1, :4, :128, :145])
    file.write((0, 0, 0, 0), DATA[:1, :8, :128, :145])
    with pytest.raises(DeconvError, match=r"35 of 36 blocks of a\.ome\.zarr are not written yet"):
        file.finish({})
    file.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DeconvError, match="all but the last must be of one size"):
        start(tmp_path / "a.ome.zarr", blocks=((1, 1), (8, 4, 8), (300,), (290,)))
    with pytest.raises(DeconvError, match=r"does not end in \.tif"):
        start(tmp_path / "a.nd2")
    with pytest.raises(DeconvError, match="int64 voxels with axes CZYX cannot be written"):
        start(tmp_path / "a.tif", data=DATA.astype(np.int64))


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_a_full_disk_leaves_nothing_under_the_name_and_can_be_resumed(
    tmp_path, monkeypatch, name, ngff
):
    path = tmp_path / name
    file = start(path, ngff)
    synchronized, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synchronized(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DeconvError, match=f"{name} cannot be written: No space left.* kept"):
            write_all(file)
    assert not path.exists()
    assert 0 < len(start(path, ngff, resume=True).done) < file.layout.count
    write_all(file)
    file.finish(RECORD)
    np.testing.assert_array_equal(read_image(path).data, DATA)


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_a_worker_of_a_run_that_was_given_up_writes_into_no_other(tmp_path, name, ngff):
    path = tmp_path / name
    late = start(path, ngff)
    late.write((0, 0, 0, 0), DATA[:1, :8, :128, :145])
    with pytest.warns(DeconvWarning, match="thrown away"):
        file = start(path, ngff, fingerprint="y")
    with pytest.raises((DeconvError, FileNotFoundError)):
        late.write((0, 0, 0, 0), DATA[:1, :8, :128, :145] + 1)
    assert file.done == set()
    write_all(file)
    with pytest.raises((DeconvError, FileNotFoundError)):
        late.write((0, 0, 0, 0), DATA[:1, :8, :128, :145] + 1)
    file.finish({})
    np.testing.assert_array_equal(read_image(path).data, DATA)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize(("name", "ngff"), FORMATS)
def test_a_kill_when_it_has_its_name_leaves_nothing_to_go_on_with(
    tmp_path, monkeypatch, name, ngff
):
    path = tmp_path / name
    file = start(path, ngff)
    write_all(file)
    with monkeypatch.context() as patch:
        patch.setattr(BlockFile, "discard", lambda self: None)
        file.finish({})
    assert (begun(path), written(path)) == (None, 0)
    with warnings.catch_warnings(action="error"):
        assert start(path, ngff, resume=True).done == set()

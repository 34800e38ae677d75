"""What cannot be written is refused, and nothing is left of it."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_deconv.errors import DeconvError
from napari_deconv.files import check_target, replacing, write_image

STACK = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)
SPACING = (0.3, 0.1, 0.11)


@pytest.mark.parametrize("name", ["a.png", "a", "a.tif.gz", "a.zarr.zip"])
def test_wrong_suffix(tmp_path, name):
    with pytest.raises(DeconvError, match=r"does not end in \.tif"):
        write_image(tmp_path / name, STACK)


def test_no_folder_and_a_folder_in_the_way(tmp_path):
    with pytest.raises(DeconvError, match="There is no folder"):
        write_image(tmp_path / "none" / "a.tif", STACK)
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(DeconvError, match="is a folder"):
        write_image(tmp_path / "a.tif", STACK)


@pytest.mark.parametrize("dtype", ["int64", "float16"])
def test_dtypes_that_ome_has_not(tmp_path, dtype):
    with pytest.raises(DeconvError, match="convert them to float32"):
        write_image(tmp_path / "a.tif", STACK.astype(dtype))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", [np.zeros(5), np.zeros((0, 4)), np.zeros((1,) * 5 + (2, 2))])
def test_shapes_that_are_no_image(tmp_path, array):
    with pytest.raises(DeconvError, match="cannot be written with axes"):
        write_image(tmp_path / "a.tif", array)


def test_refused_by_the_system(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tifffile, "imwrite", refuse)
    with pytest.raises(DeconvError, match=r"cannot be written: Permission denied"):
        write_image(tmp_path / "a.tif", STACK)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_full_disk_is_said(tmp_path):
    """NumPy says how much it wrote, and not why."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, before[1]))
    try:
        with pytest.raises(DeconvError, match=r"cannot be written: the disk seems to be full \("):
            write_image(tmp_path / "a.tif", np.zeros((20, 64, 64), np.uint16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"channels": ["DAPI"]}, "There are 1 names, DAPI, for 2 channels"),
        ({"channels": ["a", "b"], "colours": ["FF0000"]}, "There are 1 colours, FF0000, for 2"),
        ({"colours": ["FF0000", "green"]}, "'green' is no colour: expected RRGGBB"),
        ({"colours": ["FF0000", "#00FF00"]}, "'#00FF00' is no colour"),
    ],
)
@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_names_and_colours_that_do_not_fit(tmp_path, given, message, name):
    with pytest.raises(DeconvError, match=message):
        write_image(tmp_path / name, np.zeros((2, 3, 4, 5), np.uint8), axes="CZYX", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_in(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda *given: asked.append(given))
    with pytest.raises(DeconvError, match=r"a\.tif cannot be written: you may not write in"):
        check_target(tmp_path / "a.tif", (".tif",))
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is locked for root")
def test_a_locked_folder(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    with pytest.raises(DeconvError, match="you may not write in the folder"):
        check_target(folder / "a.tif")


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError, RuntimeError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "a.tif"
    write_image(path, STACK, SPACING)
    before = path.read_bytes()

    def fail():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise failure

    with pytest.raises(DeconvError if failure is OSError else failure):
        fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_the_file(tmp_path):
    path = tmp_path / "a[1].tif"
    script = (
        "import os, sys\nfrom napari_deconv.files import replacing\n"
        "with replacing(sys.argv[1]) as part:\n    part.touch()\n    os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    (left,) = tmp_path.iterdir()
    # Of a process that is at it, of another machine, and of another file.
    others = [
        left.with_name(f".a[1].tif.{platform.node()}-{os.getppid()}.part"),
        left.with_name(f".a[1].tif.elsewhere-{left.suffixes[-2].rpartition('-')[2]}.part"),
        left.with_name(left.name.replace("a[1]", "a1")),
    ]
    for other in others:
        other.touch()
    write_image(path, STACK)
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX's")
def test_written_files_have_ordinary_permissions(tmp_path):
    write_image(tmp_path / "a.tif", STACK)
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_deconv

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_deconv"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def source_files() -> set[str]:
    return {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*arguments: str | Path, **options) -> str:
    result = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, **options
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_version_is_written_in_one_place():
    assert version("napari-deconv") == PROJECT["version"]
    for name in source_files():
        if name.endswith((".py", ".yaml")):
            assert PROJECT["version"] not in (PACKAGE.parent / name).read_text(), name


def test_citation_agrees_with_the_package():
    citation = (ROOT / "CITATION.cff").read_text()
    for field in ("version", "license"):
        assert re.search(rf"^{field}: (\S+)$", citation, re.MULTILINE)[1] == PROJECT[field]


def test_every_public_name_exists_and_is_documented():
    assert napari_deconv.__all__ == sorted(napari_deconv.__all__)
    for name in napari_deconv.__all__:
        assert getattr(napari_deconv, name).__doc__, name


def test_files_beside_the_modules_are_there():
    names = source_files()
    assert {"napari_deconv/py.typed", "napari_deconv/napari.yaml"} <= names
    assert any(
        re.fullmatch(r"napari_deconv/engines/opencl/kernels/\w+\.cl", name) for name in names
    )


def test_manifest_at_the_root_is_the_one_in_the_package():
    link = ROOT / "napari.yaml"
    assert link.is_symlink()
    assert link.resolve() == PACKAGE / "napari.yaml"
    assert PluginManifest.from_distribution("napari-deconv").name == PROJECT["name"]


@pytest.mark.slow
def test_wheel_made_from_the_sdist_carries_everything(tmp_path):
    run("-m", "build", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert source_files() <= set(zipfile.ZipFile(wheel).namelist())

    site = tmp_path / "site"
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel)
    code = (
        "import napari_deconv, npe2;"
        "print(napari_deconv.__file__);"
        "print(npe2.PluginManifest.from_distribution('napari-deconv').display_name)"
    )
    output = run("-c", code, cwd=tmp_path, env={"PYTHONPATH": str(site)})
    where, display_name = output.splitlines()
    assert Path(where).is_relative_to(site)
    assert display_name == "Deconvolution"

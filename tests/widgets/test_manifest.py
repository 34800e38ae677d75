"""The manifest, the samples, and who may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_deconv
from napari_deconv.widgets.common.layers import KEY

PACKAGE = Path(napari_deconv.__file__).parent
GUI = {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PyQt5", "PySide6", "vispy"}
# Contributions to any other menu are silently ignored.
LAYERS = ("filter", "measure", "metadata", "segment", "visualize")
MENUS = {f"napari/layers/{name}" for name in LAYERS} | {"napari/file/new_layer"}


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution("napari-deconv")


def test_everything_in_the_manifest_is_there(manifest):
    manifest.validate_imports()
    assert manifest.display_name == "Deconvolution"
    assert manifest.categories == ["Image Processing", "Simulation"]
    assert (PACKAGE / manifest.icon.partition(":")[2]).is_file()
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Background subtraction", "Bead detection", "PSF distilling", "Synthetic PSF",
        "Deconvolution", "PSF quality", "Compare", "Convolve", "Simulate acquisition",
    ]  # fmt: skip
    assert set(manifest.contributions.menus) == MENUS


@pytest.mark.parametrize("key", ["beads_widefield", "cells_widefield", "bars_confocal"])
def test_samples_open_with_voxel_size_truth_and_psf(viewer, key):
    viewer.open_sample("napari-deconv", key)
    truth, psf, image = viewer.layers
    roles = [layer.metadata[KEY]["role"] for layer in viewer.layers]
    assert roles == ["truth", "true psf", "image"]
    assert [layer.visible for layer in viewer.layers] == [False, False, True]
    np.testing.assert_array_equal(truth.scale, image.scale)
    assert truth.data.shape == image.data.shape
    assert image.scale[0] > image.scale[1] == image.scale[2] > 0
    for layer in viewer.layers:
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    optics = image.metadata[KEY]["optics"]
    assert optics["na"] == 1.4
    focus = psf.data_to_world([n // 2 for n in psf.data.shape])
    np.testing.assert_allclose(focus, image.data_to_world([n // 2 for n in image.data.shape]))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
            if node.module.startswith("napari_deconv.widgets"):
                yield "napari"


def test_nothing_outside_widgets_imports_a_gui():
    files = [path for path in PACKAGE.rglob("*.py") if "widgets" not in path.parts]
    assert len(files) > 10
    guilty = {path.name: GUI & set(imports(path)) for path in files}
    assert not {name: found for name, found in guilty.items() if found}


def test_importing_loads_no_gui_below_the_widgets_and_no_opencl():
    modules = [path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py")]
    names = [".".join(module.parts) for module in modules if module.stem[:2] != "__"]
    widgets = [name for name in names if ".widgets." in name]
    core = [name for name in names if name not in widgets]
    code = "import sys\n" + "".join(
        f"import {', '.join(part)}\nprint(*{{name.partition('.')[0] for name in sys.modules}})\n"
        for part in (core, widgets)
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    below, above = (set(line.split()) for line in run.stdout.splitlines())
    assert not (GUI | {"pyclesperanto"}) & below
    assert "pyclesperanto" not in above

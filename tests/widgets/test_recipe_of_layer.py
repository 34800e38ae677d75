"""The recipe of any layer, also of one that was saved, and opened again."""

from __future__ import annotations

import numpy as np
import pytest
from napari._app_model import get_app_model
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow

from napari_deconv import Recipe
from napari_deconv.widgets.recipe import RecipeDialog

pytestmark = pytest.mark.usefixtures("dask_in_place")


@pytest.fixture
def ask(viewer, qtbot):
    """Choose “Recipe of the layer” in the menu, and give the window that opens, if any."""

    def ask(layer):
        viewer.layers.selection.active = layer
        get_app_model().commands.execute_command("napari-deconv.recipe").result()
        found = [w for w in QApplication.topLevelWidgets() if isinstance(w, RecipeDialog)]
        for dialog in found:
            qtbot.addWidget(dialog)
        return found[0] if found else None

    return ask


@pytest.fixture
def result(viewer, cells, ready):
    hand = ready()
    hand.widget.region.value = "all"
    hand.run()
    return viewer.layers[-1]


def test_a_saved_result_tells_its_recipe(viewer, result, ask, tmp_path, monkeypatch, qapp):
    voxels = np.array(result.data)
    result.save(str(tmp_path / "result.ome.tif"))
    viewer.layers.remove(result)
    (opened,) = viewer.open(tmp_path / "result.ome.tif")
    dialog = ask(opened)
    assert dialog.windowTitle() == "Recipe of result.ome"
    assert "deconvolution: {method: richardson_lucy" in dialog.view.text.toPlainText()
    dialog.view.copy_button.click()
    assert "deconvolve(" in qapp.clipboard().text()

    path = tmp_path / "again.yaml"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    dialog.view.save_button.click()
    np.testing.assert_array_equal(Recipe.load(path).run().image, voxels)


def test_a_layer_that_is_gone_cannot_be_saved(viewer, result, ask, tmp_path, said):
    viewer.layers.remove("PSF")
    dialog = ask(result)
    dialog.view.save(tmp_path / "recipe.yaml")
    assert "arrays of PSF" in said()[-1]
    assert not list(tmp_path.glob("*.yaml"))


def test_a_window_for_each_layer_which_closes(result, ask, qtbot):
    dialog = ask(result)
    assert dialog.isVisible()
    assert isinstance(dialog.parent(), QMainWindow)  # which it stays in front of
    with qtbot.waitSignal(dialog.destroyed):
        dialog.close()


@pytest.mark.parametrize("selected", [True, False])
def test_what_has_no_recipe_says_so(viewer, ask, said, selected):
    layer = viewer.add_image(np.zeros((4, 4)), name="mine")
    assert ask(layer if selected else None) is None
    expected = "“mine” has no recipe" if selected else "Select one layer"
    assert expected in said()[-1]

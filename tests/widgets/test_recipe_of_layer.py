"""The recipe of any layer, also of one that was saved, and opened again."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING
from napari._app_model import get_app_model
from qtpy.QtWidgets import QApplication, QFileDialog, QMainWindow

from napari_deconv import Recipe, deconvolve, write_image
from napari_deconv.widgets.recipe import RecipeDialog

pytestmark = pytest.mark.usefixtures("dask_in_place")


@pytest.fixture
def ask(viewer):
    """Choose “Recipe of the layer” in the menu, and give the window that opens, if any."""

    def ask(layer):
        viewer.layers.selection.active = layer
        get_app_model().commands.execute_command("napari-deconv.recipe").result()
        found = [w for w in QApplication.topLevelWidgets() if isinstance(w, RecipeDialog)]
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


def test_edited_beads_are_saved_on_the_voxels_of_their_image(
    viewer, open_widget, bead_image, ask, qtbot, tmp_path, said
):
    """The image is a file, and no layer that the recipe names."""
    write_image(tmp_path / "beads.ome.tif", bead_image, SPACING)
    (image,) = viewer.open(tmp_path / "beads.ome.tif")
    open_widget("Bead detection").run()
    points = viewer.layers["beads.ome · beads"]
    points.selected_data = {0}
    points.remove_selected()
    distilling = open_widget("PSF distilling")
    distilling.widget.iterations.value = "10"
    distilling.run()
    psf = viewer.layers[-1]
    dialog = ask(psf)
    dialog.view.save(tmp_path / "edited.yaml")
    again = Recipe.load(tmp_path / "edited.yaml").run()
    np.testing.assert_allclose(again.data, psf.data, atol=1e-6 * psf.data.max())
    with qtbot.waitSignal(dialog.destroyed):
        dialog.close()

    viewer.layers.remove(image)
    ask(psf).view.save(tmp_path / "without.yaml")
    assert said()[-1] == "The recipe needs the arrays of beads.ome · beads: they are in no file."
    assert not (tmp_path / "without.yaml").exists()


def test_a_result_of_a_script_has_no_inputs_to_tell(viewer, ask, tmp_path, said):
    plane = np.random.default_rng(0).poisson(20, (16, 16)).astype(np.uint16)
    result = deconvolve(plane, np.ones((3, 3)), iterations=2, engine="cpu")
    write_image(tmp_path / "script.ome.tif", result.image, SPACING[1:], result.recipe)
    (layer,) = viewer.open(tmp_path / "script.ome.tif")
    assert ask(layer) is None
    assert "has no recipe" in said()[-1]


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

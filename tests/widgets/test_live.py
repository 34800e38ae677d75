"""A deconvolution while it runs: pictures, plot, stop and keep, step back, recipes."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING
from napari.layers import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShortcut

from napari_deconv.deconvolution import deconvolve
from napari_deconv.files import provenance_of
from napari_deconv.psf.psf import Psf
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.layers import KEY, origin
from napari_deconv.widgets.deconvolution.course import how_often

UM = {"scale": SPACING, "units": ("µm",) * 3, "translate": (1.0, 2.0, 3.0)}


@pytest.fixture
def deconvolution(viewer, open_widget, bead_image, psf_array):
    viewer.add_image(psf_array, name="PSF", **UM)
    viewer.add_image(bead_image, name="cells", **UM)
    hand = open_widget("Deconvolution")
    hand.widget.settings.iterations.value = 40
    hand.widget.settings.stop.value = None
    return hand


@pytest.fixture
def reference(bead_image, psf_array):
    def run(**options):
        given = {"spacing": SPACING, "levels": "auto", "iterations": 40} | options
        return deconvolve(bead_image, Psf(psf_array, SPACING), **given)

    return run


def curves(widget):
    return {curve.label.split()[0]: curve for curve in widget.course.plot._curves}


def wait_for_picture(hand, viewer):
    there = lambda: any("…" in layer.name for layer in viewer.layers)  # noqa: E731
    hand.qtbot.waitUntil(there, timeout=20_000)
    return next(layer for layer in viewer.layers if "…" in layer.name)


def test_the_layer_is_refreshed_while_it_runs(viewer, deconvolution, slowly, reference):
    widget = deconvolution.widget
    deconvolution.click()
    layer = wait_for_picture(deconvolution, viewer)
    assert layer.name.startswith("cells · RL ")
    np.testing.assert_array_equal(layer.translate, UM["translate"])
    names, pictures = {layer.name}, [layer.data.copy()]
    deconvolution.qtbot.waitUntil(lambda: layer.name not in names, timeout=20_000)
    assert layer.data.shape == viewer.layers["cells"].data.shape
    assert np.abs(layer.data - pictures[0]).max() > 0
    assert widget.image.value.name == "cells"
    deconvolution.wait()
    assert [each.name for each in viewer.layers] == ["PSF", "cells", "cells · RL 40"]
    np.testing.assert_array_equal(layer.data, reference().image)


@pytest.mark.parametrize("stop", [None, "discrepancy", "consensus"])
def test_the_plot_shows_the_history(viewer, deconvolution, stop, reference):
    widget = deconvolution.widget
    widget.settings.stop.value = stop
    if stop:
        widget.settings.gain.value = "1"
    deconvolution.run()
    expected = reference(stop=stop, gain=1.0 if stop else None)
    shown = {None: set(), "discrepancy": {"misfit"}, "consensus": {"held"}}[stop]
    found = curves(widget)
    assert set(found) == {"divergence", "quality", *shown}
    columns = {"divergence": "divergence", "quality": "quality"}
    columns |= {"misfit": "discrepancy", "held": "held_out"}
    for label, curve in found.items():
        y = expected.history[columns[label]]
        np.testing.assert_array_equal(curve.x, expected.history["iteration"])
        known = y[np.isfinite(y)]
        scaled = (y - known.min()) / (known.max() - known.min())
        np.testing.assert_allclose(curve.y, scaled, rtol=1e-6)
        by_rule = stop and expected.iterations < expected.recipe["parameters"]["iterations"]
        assert curve.mark == (expected.iterations if by_rule else None)


def test_stop_and_keep(viewer, deconvolution, slowly, reference):
    widget = deconvolution.widget
    assert not widget.keep_button.isVisibleTo(widget)
    deconvolution.click()
    assert widget.keep_button.isVisibleTo(widget)
    deconvolution.qtbot.waitUntil(lambda: widget.progress_bar.value() >= 3000, timeout=20_000)
    widget.keep_button.click()
    deconvolution.wait()
    assert not widget.keep_button.isVisibleTo(widget)
    layer = viewer.layers[-1]
    parameters = layer.metadata[KEY]["parameters"]
    done = parameters["iterations"]
    assert 3 <= done < 40
    assert layer.name == f"cells · RL {done}"
    assert f"Stopped by hand after {done} iterations" in widget.result_line.text()
    np.testing.assert_array_equal(layer.data, reference(iterations=done).image)
    widget.going_on.button.click()
    deconvolution.wait()
    np.testing.assert_allclose(layer.data, reference(iterations=done + 10).image, rtol=1e-5)


def test_stepping_back_and_forth(viewer, deconvolution, reference):
    widget = deconvolution.widget
    deconvolution.run()
    layer, slider = viewer.layers[-1], widget.course.slider
    assert widget.course.label.text() == "Iteration 40"
    assert slider.isVisibleTo(widget)
    expected = reference(keep_every=how_often(40, layer.data.size))
    assert slider.maximum() == len(expected.intermediate) - 1
    for position, iteration in enumerate(sorted(expected.intermediate)):
        slider.setValue(position)
        assert widget.course.label.text() == f"Iteration {iteration}"
        assert layer.name == f"cells · RL {iteration}"
        np.testing.assert_array_equal(layer.data, expected.intermediate[iteration])
        assert layer.metadata[KEY]["parameters"]["iterations"] == iteration
        again = reference(iterations=iteration).image
        np.testing.assert_array_equal(layer.data, again)
        assert widget.going_on.button.isVisibleTo(widget) == (iteration == 40)
    assert len(viewer.layers) == 3


def test_cancelling_takes_pictures_back(viewer, deconvolution, slowly, reference):
    widget = deconvolution.widget
    deconvolution.click()
    wait_for_picture(deconvolution, viewer)
    deconvolution.click()
    deconvolution.wait()
    assert [layer.name for layer in viewer.layers] == ["PSF", "cells"]

    widget.settings.iterations.value = 5
    deconvolution.run()
    layer = viewer.layers[-1]
    widget.going_on.button.click()
    wait_for_picture(deconvolution, viewer)
    deconvolution.click()
    deconvolution.wait()
    assert layer.name == "cells · RL 5"
    np.testing.assert_array_equal(layer.data, reference(iterations=5).image)
    assert layer.metadata[KEY]["operation"] == "deconvolve"


def test_layers_deleted_and_hidden_while_it_runs(viewer, deconvolution, slowly, reference):
    deconvolution.click()
    picture = wait_for_picture(deconvolution, viewer)
    viewer.layers.remove(picture)
    viewer.layers["PSF"].visible = False
    viewer.layers.remove("cells")
    deconvolution.wait()
    assert [layer.name for layer in viewer.layers] == ["PSF", "cells · RL 40"]
    np.testing.assert_array_equal(viewer.layers[-1].data, reference().image)
    np.testing.assert_array_equal(viewer.layers[-1].translate, UM["translate"])


def test_a_series_has_a_bar_and_no_pictures(viewer, deconvolution, bead_image, psf_array):
    widget = deconvolution.widget
    series = np.stack([bead_image, bead_image[::-1]])
    viewer.add_image(
        series, name="t", scale=(1, *SPACING), units=("s", "µm", "µm", "µm"),
        axis_labels=("t", "z", "y", "x"),
    )  # fmt: skip
    widget.settings.iterations.value = 6
    deconvolution.click()
    assert not widget.keep_button.isVisibleTo(widget)
    deconvolution.wait()
    expected = deconvolve(
        series, Psf(psf_array, SPACING), spacing=SPACING, levels="auto", iterations=6
    )
    np.testing.assert_array_equal(viewer.layers["t · RL 6"].data, expected.image)


def test_how_often_an_estimate_is_kept():
    assert how_often(40, 1000) == 2
    assert how_often(3, 1000) == 1
    assert how_often(200, 1000) == 10
    assert how_often(40, 10**14) is None


# -- recipes -------------------------------------------------------------------------------------
def rerun(layer, viewer):
    recipe = Recipe.of(layer.metadata[KEY])
    arrays = {name: viewer.layers[name].data for name in recipe.layers}
    return recipe.run(arrays=arrays, image=None)


def test_every_result_can_be_made_again(viewer, deconvolution):
    """Also what went on from another result, and what was stepped back to."""
    widget = deconvolution.widget
    widget.settings.iterations.value = 12
    widget.settings.stop.value = "discrepancy"
    widget.settings.gain.value = "1"
    deconvolution.run()
    layer = viewer.layers[-1]
    np.testing.assert_array_equal(np.asarray(rerun(layer, viewer)), layer.data)
    widget.going_on.button.click()
    deconvolution.wait()
    np.testing.assert_array_equal(np.asarray(rerun(layer, viewer)), layer.data)
    widget.course.slider.setValue(1)
    assert layer.metadata[KEY]["made"]["stop_reason"].startswith("stepped to")
    np.testing.assert_array_equal(np.asarray(rerun(layer, viewer)), layer.data)


def test_the_recipe_is_shown_copied_and_saved(viewer, deconvolution, qapp, tmp_path, said):
    widget = deconvolution.widget
    outcome = widget.outcome
    assert not outcome.recipe.save_button.isVisibleTo(widget)
    widget.settings.iterations.value = 7
    deconvolution.run()
    outcome.fold_button.click()
    text = outcome.recipe.text.toPlainText()
    assert "deconvolution: {method: richardson_lucy, iterations: 7, levels: auto}" in text
    assert "napari 0." in text
    assert " CPU cores, 20" in text

    outcome.recipe.save(tmp_path / "run.yaml")
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["run.image.ome.tif", "run.psf.ome.tif", "run.yaml"]
    result = Recipe.load(tmp_path / "run.yaml").run()
    np.testing.assert_array_equal(result.image, viewer.layers[-1].data)

    outcome.recipe.copy_button.click()
    script = qapp.clipboard().text()
    assert "deconvolve(" in script


def test_a_chain_of_widgets_is_one_recipe(viewer, open_widget, bead_image, tmp_path):
    """Beads, PSF from them, deconvolution: from the bead image alone."""
    viewer.add_image(bead_image, name="beads", **UM)
    open_widget("Bead detection").run()
    distilling = open_widget("PSF distilling")
    distilling.widget.iterations.value = "10"
    distilling.run()
    hand = open_widget("Deconvolution")
    hand.widget.settings.iterations.value = 5
    hand.widget.settings.stop.value = None
    hand.run()
    layer = viewer.layers[-1]
    assert layer.name == "beads · RL 5"
    recipe = Recipe.of(layer.metadata[KEY])
    assert recipe.layers == ("beads",)
    hand.widget.outcome.recipe.save(tmp_path / "chain.yaml")
    result = Recipe.load(tmp_path / "chain.yaml").run()
    np.testing.assert_array_equal(result.image, layer.data)

    points = next(each for each in viewer.layers if each.name == "beads · beads")
    points.selected_data = {0}
    points.remove_selected()
    distilling.run()
    edited = viewer.layers[-1]
    assert edited.metadata[KEY]["inputs"]["beads"] == {"layer": "beads · beads"}
    distilling.widget.outcome.recipe.save(tmp_path / "edited.yaml")
    psf = Recipe.load(tmp_path / "edited.yaml").run()
    np.testing.assert_allclose(psf.data, edited.data, atol=1e-6 * edited.data.max())


@pytest.mark.slow
def test_a_sample_gets_better_as_the_widget_comes_up(viewer, open_widget):
    viewer.open_sample("napari-deconv", "bars_confocal")
    before, truth = (layer.data.astype(float) for layer in (viewer.layers[-1], viewer.layers[0]))
    assert "truth" in viewer.layers[0].name
    hand = open_widget("Deconvolution")
    hand.click()
    hand.qtbot.waitUntil(lambda: hand.widget.run_button.text() == "Run", timeout=120_000)
    after = viewer.layers[-1].data
    likeness = [np.corrcoef(each.ravel(), truth.ravel())[0, 1] for each in (before, after)]
    assert 1 - likeness[1] < 0.7 * (1 - likeness[0])


def test_a_recipe_is_of_the_layer_that_was_read(viewer, deconvolution, bead_image, tmp_path, said):
    deconvolution.widget.settings.iterations.value = 3
    deconvolution.run()
    result = viewer.layers[-1]
    viewer.layers["cells"].name = "mitochondria"
    viewer.add_image(bead_image[::-1], name="cells", **UM)
    view = deconvolution.widget.outcome.recipe
    view.save(tmp_path / "run.yaml")
    again = Recipe.load(tmp_path / "run.yaml").run()
    np.testing.assert_array_equal(again.image, result.data)

    viewer.layers["mitochondria"].data = bead_image[::-1]
    view.save(tmp_path / "other.yaml")
    assert "cells" in said()[-1]
    assert not (tmp_path / "other.yaml").exists()


def test_a_recipe_does_not_make_what_a_script_has_changed(viewer, deconvolution, tmp_path):
    widget = deconvolution.widget
    widget.settings.iterations.value = 3
    deconvolution.run()
    first = viewer.layers["cells · RL 3"]
    widget.image.value = first
    deconvolution.run()
    assert "operation" in viewer.layers[-1].metadata[KEY]["inputs"]["image"]

    first.data = first.data * np.float32(2)
    widget.image.value = first
    deconvolution.run()
    second = viewer.layers[-1]
    assert second.metadata[KEY]["inputs"]["image"] == {"layer": first.name}
    widget.outcome.recipe.save(tmp_path / "run.yaml")
    again = Recipe.load(tmp_path / "run.yaml").run()
    np.testing.assert_array_equal(again.image, second.data)

    viewer.layers.selection = {second}
    for name, is_known in (("made", True), ("changed", False)):
        path = tmp_path / f"{name}.ome.tif"
        viewer.layers.save(str(path), selected=True, plugin="napari-deconv")
        told = provenance_of(path)
        assert ("operation" in told) == is_known
        assert told["role"] == "result"
        second.data *= 2  # in place
    assert origin(second) == {"layer": second.name}


def test_a_sample_that_was_painted_on_is_no_sample(viewer):
    viewer.open_sample("napari-deconv", "bars_confocal")
    image = viewer.layers["bars"]
    assert origin(image)["sample"] == "bars_confocal"
    image.data[0, 0, 0] += 1
    assert origin(image) == {"layer": "bars"}


def test_labels_of_beads_are_left_out_by_a_recipe_too(
    viewer, deconvolution, open_widget, bead_image, tmp_path
):
    beads = open_widget("Bead detection")
    beads.widget.method.value = "otsu"
    beads.run()
    widget = deconvolution.widget
    widget.image.value, widget.psf.value = viewer.layers["cells"], viewer.layers["PSF"]
    widget.leave_out.value = next(each for each in viewer.layers if "Otsu" in each.name)
    widget.settings.iterations.value = 3
    deconvolution.run()
    widget.outcome.recipe.save(tmp_path / "run.yaml")
    again = Recipe.load(tmp_path / "run.yaml").run()
    np.testing.assert_array_equal(again.image, viewer.layers[-1].data)


# -- history -------------------------------------------------------------------------------------
def entries(widget):
    return [action.menu() for action in widget.history.fill().actions()]


def test_the_history_gives_settings_back_and_runs_again(viewer, deconvolution, bead_image):
    widget = deconvolution.widget
    assert not widget.history.isVisibleTo(widget)
    widget.settings.iterations.value = 3
    deconvolution.run()
    first = viewer.layers[-1]
    viewer.add_image(bead_image[::-1], name="others", **UM)
    widget.settings.method.value = "wiener"
    deconvolution.run()
    assert viewer.layers[-1].name == "others · Wiener filter"
    newest, oldest = entries(widget)
    assert "others" in newest.title()
    assert "cells" in oldest.title()
    again, settings = oldest.actions()
    settings.trigger()
    assert widget.settings.method.value == "richardson_lucy"
    assert widget.settings.iterations.value == 3
    assert widget.image.value.name == "cells"
    widget.settings.iterations.value = 9
    again.trigger()
    deconvolution.wait()
    assert viewer.layers[-1].name.startswith("cells · RL 3")
    assert viewer.layers[-1] != first
    np.testing.assert_array_equal(viewer.layers[-1].data, first.data)
    viewer.layers.remove("others")
    entries(widget)[1].actions()[0].trigger()
    assert "is gone" in widget.result_line.text()
    assert widget.run_button.text() == "Run"


def test_going_on_is_in_the_history_as_one_run(viewer, deconvolution):
    widget = deconvolution.widget
    widget.settings.iterations.value = 3
    widget.settings.stop.value = None
    deconvolution.run()
    widget.going_on.number.setValue(7)
    widget.going_on.button.click()
    deconvolution.wait()
    both = viewer.layers[-1]
    assert both.name == "cells · RL 10"
    newest = entries(widget)[0]
    assert "10 iterations" in newest.title()
    newest.actions()[0].trigger()
    deconvolution.wait()
    assert viewer.layers[-1] is not both
    assert viewer.layers[-1].name.startswith("cells · RL 10")
    np.testing.assert_allclose(viewer.layers[-1].data, both.data, atol=1e-4 * both.data.max())


def test_the_history_says_what_was_done(viewer, deconvolution, open_widget, bead_image):
    widget = deconvolution.widget
    widget.settings.iterations.value = 3
    widget.settings.stop.value = None
    deconvolution.run()
    widget.settings.smoothing.value = "tv"
    widget.settings.smoothing_weight.value = "0.01"
    deconvolution.run()
    widget.settings.method.value = "wiener"
    deconvolution.run()
    done = [menu.title().split("  ", 1)[1].rpartition(" · ")[0] for menu in entries(widget)]
    assert done == [
        "cells · Wiener filter · PSF",
        "cells · Richardson–Lucy, 3 iterations, Total variation, smoothness 0.01 · PSF",
        "cells · Richardson–Lucy, 3 iterations · PSF",
    ]
    hand = open_widget("Synthetic PSF")
    hand.widget.model.value = "gaussian"
    hand.run()
    (menu,) = entries(hand.widget)
    assert "cells · Gaussian, FWHM 0.6 × 0.2 × 0.2 µm · " in menu.title()


def test_the_last_settings_come_back_and_defaults_too(viewer, deconvolution, open_widget):
    widget = deconvolution.widget
    widget.settings.iterations.value = 17
    widget.settings.gain.value = "3"
    widget.boundary.value = "reflect"
    deconvolution.run()
    deconvolution.dock.destroyOnClose()
    hand = open_widget("Deconvolution")
    other = hand.widget
    assert other.settings.iterations.value == 17
    assert other.boundary.value == "reflect"
    assert other.settings.gain.value == ""  # of one image
    assert not other.defaults_button.isVisibleTo(other)
    other.more_button.click()
    other.defaults_button.click()
    assert other.settings.iterations.value == 40
    assert other.boundary.value == "padded"
    hand.dock.destroyOnClose()
    assert open_widget("Deconvolution").widget.settings.iterations.value == 40


def test_keys_run_and_cancel(viewer, deconvolution, slowly):
    """Without a window manager no window is active, so that Qt does not deliver the keys."""
    widget = deconvolution.widget
    shortcuts = {each.key().toString(): each for each in widget.findChildren(QShortcut)}
    inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
    assert {each.context() for each in shortcuts.values()} == {inside}
    shortcuts["Ctrl+Return"].activated.emit()
    assert widget.run_button.text() == "Cancel"
    deconvolution.wait_for_progress()
    shortcuts["Esc"].activated.emit()
    deconvolution.wait()
    assert widget.result_line.text() == "Cancelled."


def test_a_file_is_dropped_on_the_psf(viewer, deconvolution, psf_array, tmp_path, qapp):
    path = tmp_path / "measured.tif"
    Psf(psf_array[:, 1:-1, 1:-1], SPACING).save(path)
    widget = deconvolution.widget
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    actions = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton)
    none = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), *actions, none)
    qapp.sendEvent(widget.psf.native, enter)
    assert enter.isAccepted()
    qapp.sendEvent(widget.psf.native, QDropEvent(QPointF(5, 5), *actions, none))
    assert isinstance(widget.psf.value, Image)
    assert widget.psf.value.name == "measured"
    assert widget.image.value.name == "cells"

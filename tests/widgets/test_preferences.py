"""Preferences and last-used values; the settings are those of tests/conftest.py, not the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from napari._app_model import get_app_model
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QListWidget,
    QStackedWidget,
)

from napari_deconv.engines.limits import threads
from napari_deconv.widgets.common import preferences as module
from napari_deconv.widgets.common.preferences import Preferences, preferences, recall, remember

FOLDER = Path(os.environ["NAPARI_CONFIG"]).parent


@pytest.fixture
def settings():
    found = get_plugin_settings("napari-deconv")
    yield found
    found.reset()


def test_the_settings_are_not_the_users(settings):
    assert settings.config_path == FOLDER / "napari-deconv.yaml"


def test_what_is_set_is_what_is_read(settings):
    assert preferences() == Preferences("auto", None, None, "µm")
    settings.compute.device = " opencl "
    settings.compute.memory = 2.5
    settings.compute.threads = 3
    settings.layers.unit = "nm"
    assert preferences() == Preferences("opencl", 2.5e9, 3, "nm")
    settings.compute.device = ""
    assert preferences().device == "auto"


def test_the_page_in_napari_s_preferences(viewer, settings, qtbot):
    get_app_model().commands.execute_command("napari.window.file.show_preferences_dialog").result()
    dialog = next(w for w in QApplication.topLevelWidgets() if isinstance(w, PreferencesDialog))
    pages = dialog.findChild(QListWidget)
    (entry,) = pages.findItems("Deconvolution", Qt.MatchFlag.MatchExactly)
    pages.setCurrentItem(entry)
    page = dialog.findChild(QStackedWidget).currentWidget()
    said = {label.text() for label in page.findChildren(QLabel)}
    assert {"Device", "Threads (0 is all cores)", "Unit of layers without one"} <= said
    memory = page.findChild(QDoubleSpinBox)
    memory.setValue(2.5)
    page.findChild(QComboBox).setCurrentText("nm")
    assert preferences() == Preferences("auto", 2.5e9, None, "nm")
    dialog.reject()  # Cancel
    assert preferences() == Preferences()


@pytest.mark.parametrize(
    ("name", "value"), [("memory", -1), ("threads", -1), ("threads", 1.5), ("device", 3)]
)
def test_napari_refuses_what_is_none(settings, name, value):
    with pytest.raises(ValueError, match=name):
        setattr(settings.compute, name, value)
    with pytest.raises(ValueError, match="parsec"):
        settings.layers.unit = "parsec"


@pytest.mark.parametrize("device", ["cpu", "opencl:no such name"])
def test_a_widget_starts_with_the_preferred_device(qtbot, settings, open_widget, device):
    settings.compute.device = device
    widget = open_widget("Compare").widget
    assert widget.device.value == device
    changed = []
    widget.device.changed.connect(changed.append)
    widget.more_button.click()
    qtbot.waitUntil(lambda: len(widget.device.choices) > 2, timeout=20_000)
    assert widget.device.value == device
    assert changed == []  # a preview would be made anew


def test_bad_values_in_the_file_are_defaults(tmp_path):
    (tmp_path / "napari-deconv.yaml").write_text("compute: {threads: many}\nlayers: {unit: 7}\n")
    imports = "from napari_deconv.widgets.common.preferences import *"
    code = f"{imports}; print(preferences() == Preferences())"
    assert in_napari(tmp_path / "settings.yaml", code) == "True"


def test_no_settings_of_a_plugin_that_is_disabled(monkeypatch):
    def none(name):
        raise KeyError(name)

    monkeypatch.setattr(module, "get_plugin_settings", none)
    assert preferences() == Preferences()
    remember("Deconvolution", {"iterations": 3})
    assert recall("Deconvolution") == {}


def test_what_was_last_used_is_recalled():
    values = {"iterations": 12, "method": "méthode", "stop": None, "on": True, "sizes": [1, 2.5]}
    assert recall("Deconvolution") == {}
    remember("Deconvolution", values)
    remember("Convolve", {"boundary": "zero"})
    assert recall("Deconvolution") == values
    remember("Deconvolution", {"iterations": 5})
    assert recall("Deconvolution") == {"iterations": 5}
    assert recall("Convolve") == {"boundary": "zero"}
    assert [file.name for file in FOLDER.glob("*last*")] == ["napari-deconv-last-used.json"]


def test_nothing_is_left_of_the_test_before():
    assert recall("Deconvolution") == recall("Convolve") == {}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"Deconvolution": 3}', "\x00"])
def test_a_broken_file_is_no_trouble(text):
    (FOLDER / "napari-deconv-last-used.json").write_text(text)
    assert recall("Deconvolution") == {}
    remember("Deconvolution", {"iterations": 5})
    assert recall("Deconvolution") == {"iterations": 5}


def test_a_folder_that_cannot_be_written_to_is_no_trouble(tmp_path):
    (tmp_path / "file").touch()
    code = (
        "from napari_deconv.widgets.common.preferences import *;"
        "remember('Convolve', {'boundary': 'zero'}); print(recall('Convolve'))"
    )
    assert in_napari(tmp_path / "file" / "settings.yaml", code) == "{}"
    assert in_napari("", code) == "{}"
    assert in_napari(tmp_path / "new" / "settings.yaml", code) == "{'boundary': 'zero'}"


def in_napari(config, code):
    """Run code in another process with its own settings; "" is none at all."""
    environment = os.environ | {"NAPARI_CONFIG": str(config), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_preview_keeps_to_what_is_preferred(qtbot, viewer, settings, open_widget, bead_image):
    viewer.add_image(bead_image, name="cells", scale=(0.2, 0.1, 0.1), units=("µm",) * 3)
    preview = open_widget("Background subtraction").widget.preview
    settings.compute.threads = 1
    settings.compute.memory = 1e-6  # GB
    preview.box.value = True
    qtbot.waitUntil(lambda: preview.note.text().startswith("No preview"), timeout=10_000)
    assert threads() == 1
    settings.compute.memory = 0
    preview.request()
    qtbot.waitUntil(lambda: preview.note.text().startswith("Of "), timeout=10_000)

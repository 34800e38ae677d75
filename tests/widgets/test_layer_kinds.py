"""Every widget on every kind of layer: the numbers of the public API, where the voxels lie."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from functools import partial
from html import escape

import dask.array as da
import numpy as np
import pytest
from hand import SPACING, blob
from kinds import KINDS, NAME, PLACES, SHAPE, lazy
from napari.settings import get_plugin_settings

from napari_deconv import (
    Psf,
    Rejection,
    convolve,
    deconvolve,
    detect_beads,
    distill_psf,
    make_psf,
    simulate_acquisition,
    subtract_background,
)
from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.report import make_report
from napari_deconv.psf.report.words import narrow_table
from napari_deconv.widgets.common.layers import micrometres, role, spacing

pytestmark = pytest.mark.usefixtures("dask_in_place")

SIZE = (7, 15, 15)
POINTS = blob((9, 11, 11), (4, 5, 5)).astype(np.float32)
_OFTEN = ("t, y, x", "c, z, y, x", "pyramid, as shown", "affine")
OFTEN = {name: KINDS[name] for name in _OFTEN}
REST = {name: kind for name, kind in KINDS.items() if name not in OFTEN}


# -- what comes out, and what the public API gives ------------------------------------------------
def background(widget):
    widget.method.value = "gaussian"
    widget.radius.value = 0.8
    return lambda kind, psf: {
        "background": subtract_background(
            kind.taken, "gaussian", radius=0.8, spacing=kind.spacing, planes=kind.space == 2
        )
    }


def deconvolution(widget):
    widget.settings.iterations.value = 3
    widget.settings.stop.value = None
    widget.region.value = "all"
    return lambda kind, psf: {
        "RL 3": deconvolve(kind.taken, psf, spacing=kind.spacing, iterations=3, levels="auto").image
    }


def blurred(widget):
    return lambda kind, psf: {"blurred": convolve(kind.taken, psf, spacing=kind.spacing)}


def simulated(widget):
    camera = {"read_noise": 2.0, "offset": 100, "seed": 1}
    return lambda kind, psf: {
        "simulated": simulate_acquisition(kind.taken, psf, spacing=kind.spacing, **camera)
    }


def beads(widget):
    widget.rules["edge"].value = False
    given = {"bead_diameter": 0.1, "reject": Rejection(edge=False)}
    return lambda kind, psf: {
        "beads": detect_beads(kind.taken, spacing=kind.spacing, **given).positions
    }


LIE_ON_IT = {
    "Background subtraction": background,
    "Deconvolution": deconvolution,
    "Convolve": blurred,
    "Simulate acquisition": simulated,
    "Bead detection": beads,
}


def distilled(widget):
    widget.iterations.value = "4"
    return lambda kind: (
        distill_psf(kind.taken, spacing=kind.spacing, iterations=4, bead_diameter=0.1).data
    )


def synthetic(widget):
    widget.model.value = "gaussian"
    return lambda kind: make_psf(
        model="gaussian", fwhm=(0.6, 0.2, 0.2)[-kind.space :], shape=SIZE[-kind.space :],
        spacing=kind.spacing,
    ).data  # fmt: skip


APART = {"PSF distilling": distilled, "Synthetic PSF": synthetic}


# -- the hand ------------------------------------------------------------------------------------
def show(viewer, kind, monkeypatch):
    """Put the kind of layer, and a PSF that fits it, into an empty viewer."""
    viewer.layers.clear()
    monkeypatch.setattr(get_plugin_settings("napari-deconv").layers, "unit", kind.unit)
    points = POINTS if kind.space == 3 else POINTS[4]
    units = ("µm",) * kind.space
    viewer.add_image(points, name="PSF", scale=SPACING[-kind.space :], units=units)
    layer = kind.add(viewer)
    if kind.resolution == "shown":
        layer.locked_data_level = 1
    return layer, Psf(points, SPACING[-kind.space :])


def choose(widget, kind):
    assert widget.image.value.name == NAME
    assert widget.resolution.native.isVisibleTo(widget) == widget.image.value.multiscale
    widget.resolution.value = kind.resolution
    if kind.typed:
        widget.voxel_size.field.value = kind.typed


def given(hand, expect):
    """Ask the public API; what it refuses, the widget has refused in the same words."""
    with warnings.catch_warnings(action="ignore"):  # that a PSF is resampled, that beads are few
        try:
            return expect()
        except DeconvError as error:
            refused = str(error).split(":")[0]
    assert refused in hand.widget.result_line.text()
    return {}


def level(kind):
    return " (level 1)" if kind.resolution == "shown" else ""


def world(layer, voxels):
    """Find where voxels are, in µm; in pixels where the layer says nothing else."""
    return layer.data_to_world(voxels) * micrometres(layer.units)


def every_voxel(shape):
    return np.indices(shape).reshape(len(shape), -1).T


GROUPS = [
    pytest.param(OFTEN, id="often"), pytest.param(REST, id="rest", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize("title", LIE_ON_IT)
@pytest.mark.parametrize("kinds", GROUPS)
def test_results_are_those_of_the_api_and_lie_on_the_layer(
    viewer, open_widget, monkeypatch, subtests, title, kinds
):
    hand = open_widget(title)
    expect = LIE_ON_IT[title](hand.widget)
    for name, kind in kinds.items():
        if title == "Bead detection" and kind.is_series:
            continue
        with subtests.test(name):
            layer, psf = show(viewer, kind, monkeypatch)
            choose(hand.widget, kind)
            before = str(layer.as_layer_data_tuple()[1])
            hand.click()
            hand.wait()
            line = hand.widget.result_line.text()
            assert ("At full resolution." in line) == (name == "pyramid, full")
            assert ("At resolution level 1, as shown." in line) == (name == "pyramid, as shown")
            for what, expected in given(hand, partial(expect, kind, psf)).items():
                result = viewer.layers[f"{NAME}{level(kind)} · {what}"]
                np.testing.assert_array_equal(result.data, expected)
                voxels = expected if what == "beads" else every_voxel(expected.shape)
                np.testing.assert_allclose(
                    world(result, voxels), world(layer, voxels * kind.factors),
                    rtol=1e-12, atol=1e-12,
                )  # fmt: skip
                assert result.units == layer.units
                if what != "beads":
                    assert spacing(result) == pytest.approx(kind.spacing)
            assert str(layer.as_layer_data_tuple()[1]) == before


def test_of_series_one_has_to_be_chosen(viewer, open_widget, monkeypatch, subtests):
    hands = [open_widget(title) for title in ("Bead detection", "PSF distilling")]
    for name in ("t, y, x", "c, z, y, x"):
        with subtests.test(name):
            show(viewer, KINDS[name], monkeypatch)
            for hand in hands:
                hand.click()
                assert "a series in time or channel: split it" in hand.widget.result_line.text()


@pytest.mark.parametrize("title", APART)
@pytest.mark.parametrize("kinds", GROUPS)
def test_a_psf_has_the_voxels_of_its_image(
    viewer, open_widget, monkeypatch, subtests, title, kinds
):
    hand = open_widget(title)
    expect = APART[title](hand.widget)
    for name, kind in kinds.items():
        if title == "PSF distilling" and kind.is_series:
            continue
        with subtests.test(name):
            layer, _ = show(viewer, kind, monkeypatch)
            choose(hand.widget, kind)
            if title == "Synthetic PSF":
                hand.widget.size.value = " × ".join(map(str, SIZE[-kind.space :]))
            hand.click()
            hand.wait()
            expected = given(hand, lambda kind=kind: {"PSF": expect(kind)})
            if not expected:
                continue
            result = viewer.layers[-1]
            np.testing.assert_array_equal(result.data, expected["PSF"])
            assert role(result) == "psf"
            assert spacing(result) == pytest.approx(kind.spacing)
            right = layer.extent.world[1, -1] * micrometres(layer.units)[-1]
            assert result.extent.world[0, -1] * micrometres(result.units)[-1] > right


SHAPES = {
    "Dask": lambda: da.from_array(POINTS, chunks=5),
    "pyramid": lambda: [POINTS, POINTS[:, ::2, ::2]],
    "uint16": lambda: (POINTS * 5000).astype(np.uint16),
    "float16": lambda: POINTS.astype(np.float16),
    "float64": lambda: POINTS.astype(float),
}


def now_and_then(often, *names):
    return [*often, *(pytest.param(name, marks=pytest.mark.slow) for name in names)]


_MEASURED = ("Dask", "pyramid", "nm")
MEASURED = now_and_then(_MEASURED, *(name for name in (*SHAPES, *PLACES) if name not in _MEASURED))


@pytest.mark.parametrize("name", MEASURED)
def test_psf_quality_measures_every_kind(viewer, open_widget, monkeypatch, name):
    kind = PLACES.get(name, KINDS["float32"])
    data = SHAPES.get(name, lambda: POINTS)()
    monkeypatch.setattr(get_plugin_settings("napari-deconv").layers, "unit", kind.unit)
    replace(kind, data=lambda: data, options=kind.options | {"name": "PSF"}).add(viewer)
    hand = open_widget("PSF quality")
    if kind.typed:
        hand.widget.voxel_size.field.value = kind.typed
    hand.run()
    points = data[0] if name == "pyramid" else np.asarray(data)
    report = make_report(Psf(repair_psf(points)[0], SPACING))
    assert hand.widget.result_line.text().startswith("\n".join(report.findings))
    for cells in narrow_table(report.rows):
        assert all(escape(cell.strip()) in hand.widget.numbers.text() for cell in cells)


READING = now_and_then(
    ["Deconvolution", "PSF distilling"], *(each for each in LIE_ON_IT if each != "Deconvolution")
)


@pytest.mark.parametrize("title", READING)
def test_lazy_layers_are_read_in_the_thread(viewer, open_widget, monkeypatch, title):
    """But for the plane that napari draws."""
    readers = []
    kind = replace(KINDS["Dask"], data=lambda: lazy(readers))
    show(viewer, kind, monkeypatch)
    hand = open_widget(title)
    if title == "Deconvolution":
        hand.widget.region.value = "all"
    hand.qtbot.wait(100)
    readers.clear()
    hand.run()
    here = threading.main_thread()
    assert sum(reader is not here for reader in readers) >= SHAPE[0]
    assert sum(reader is here for reader in readers) <= 2

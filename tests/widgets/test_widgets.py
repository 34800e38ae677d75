"""What is particular to each widget."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING, blob

from napari_deconv.background import subtract_background
from napari_deconv.beads import Rejection, detect_beads, threshold_beads
from napari_deconv.widgets.common import points
from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.common.parts import whole
from napari_deconv.widgets.common.points import REASONS, read_beads

UM = {"scale": SPACING, "units": ("µm",) * 3}


def shown(widget, *names):
    return [getattr(widget, name).native.isVisibleTo(widget) for name in names]


# -- beads and distilling ------------------------------------------------------------------------
@pytest.fixture
def beads(viewer, open_widget, bead_image):
    viewer.add_image(bead_image, name="beads", translate=(1, 2, 3), **UM)
    hand = open_widget("Bead detection")
    hand.run()
    return hand


def test_points_are_coloured_by_reason(viewer, beads, bead_image):
    image = bead_image + 1000 * blob(bead_image.shape, (12, 36, 44))
    viewer.add_image(image, name="doublet", **UM)
    beads.run()
    layer = viewer.layers[-1]
    accepted = (layer.features["status"] == "accepted").to_numpy()
    assert 0 < accepted.sum() < len(accepted)
    np.testing.assert_allclose(layer.border_color[accepted], [[0, 1, 0, 1]] * accepted.sum())
    orange = np.array([1, 165 / 255, 0, 1])
    np.testing.assert_allclose(
        layer.border_color[~accepted], [orange] * (~accepted).sum(), atol=1e-6
    )
    assert (layer.features["reason"][accepted] == "").all()
    assert list(layer.features["reason"][~accepted]) == [
        REASONS[status] for status in layer.features["status"][~accepted]
    ]


def test_reasons_come_after_their_letters(viewer, beads, bead_image, monkeypatch):
    image = bead_image + 1000 * blob(bead_image.shape, (12, 36, 44))
    viewer.add_image(image, name="doublet", **UM)
    monkeypatch.setattr(points, "_drawn", set("ab"))
    texts, change = [], beads.widget._adding.change

    def note(layer, name, value):
        texts.extend([value] if name == "text" else [])
        change(layer, name, value)

    monkeypatch.setattr(beads.widget._adding, "change", note)
    for is_new in (True, False):
        texts.clear()
        beads.run()
        *unseen, last = texts
        layer = viewer.layers[-1]
        letters = [letter for text in unseen for letter in text["string"]["constant"]]
        new = set("".join(layer.features["reason"])) - {*"ab"} if is_new else ()
        assert new != set()
        assert sorted(letters) == sorted(new)
        assert all(len(text["string"]["constant"]) <= 3 for text in unseen)
        assert all(text["color"] == "transparent" for text in unseen)
        assert last["string"] == "{reason}"
        assert list(layer.text.values) == list(layer.features["reason"])
        np.testing.assert_allclose(layer.text.color.constant, [1, 165 / 255, 0, 1], atol=1e-6)


def test_points_and_labels_are_those_of_the_api(viewer, beads, bead_image):
    layer = viewer.layers["beads · beads"]
    expected = detect_beads(bead_image, spacing=SPACING, bead_diameter=0.1)
    np.testing.assert_array_equal(layer.data, expected.positions)
    assert list(layer.features["status"]) == list(expected.status)

    widget = beads.widget
    widget.method.value = "manual"
    widget.threshold.value = "700"
    widget.fwhm.value = "0.8 × 0.3 × 0.3"
    widget.rules["edge"].value = False
    beads.run()
    labels = viewer.layers["beads · Manual threshold"]
    np.testing.assert_array_equal(labels.data, threshold_beads(bead_image, "manual", value=700))
    np.testing.assert_array_equal(labels.translate, (1, 2, 3))
    expected = detect_beads(
        bead_image, spacing=SPACING, bead_diameter=0.1, method="manual", threshold=700,
        fwhm=(0.8, 0.3, 0.3),
        reject=Rejection(edge=False),
    )  # fmt: skip
    assert list(viewer.layers[-1].features["status"]) == list(expected.status)
    assert viewer.layers.selection == {viewer.layers[-1]}  # what came last is selected


def test_distilling_takes_the_points_as_edited(viewer, beads, open_widget, said):
    points = viewer.layers["beads · beads"]
    hand = open_widget("PSF distilling")
    widget = hand.widget
    assert widget.beads.value.name == points.name
    points.selected_data = {0}
    points.remove_selected()
    widget.bead_diameter.value = 0
    hand.run()
    psf = viewer.layers["PSF (beads)"]
    remaining = int((points.features["status"] == "accepted").sum())
    assert psf.metadata[KEY]["beads"]["accepted"] == remaining
    np.testing.assert_allclose(psf.data.sum(), 1, rtol=1e-5)
    centre = tuple(n // 2 for n in psf.data.shape)
    assert np.unravel_index(psf.data.argmax(), psf.data.shape) == centre

    viewer.add_points(np.full((3, 3), 12.0), name="clicks", **UM)
    widget.beads.value = viewer.layers["clicks"].__wrapped__
    hand.click()
    assert "“clicks” holds no measured beads" in said()[-1]


def test_a_point_added_by_hand_is_an_accepted_bead(viewer, beads, bead_image):
    image = bead_image + 1000 * blob(bead_image.shape, (len(bead_image) - 2, 36, 44))
    source = viewer.add_image(image, name="cut", **UM).__wrapped__
    beads.run()
    layer = viewer.layers[-1]
    assert layer.features["status"].iloc[-1] == "edge"
    before = read_beads(layer.__wrapped__, whole(source, "image"), SPACING)

    layer.add([5.0, 6.0, 7.0])
    after = read_beads(layer.__wrapped__, whole(source, "image"), SPACING)
    assert list(after.status) == [*before.status, "accepted"]
    assert after.flux[-1] == np.median(before.flux)
    np.testing.assert_allclose(after.fwhm[-1], np.median(before.fwhm, axis=0))
    np.testing.assert_allclose(layer.border_color[-1], [0, 1, 0, 1])
    assert layer.size[-1] == layer.size[0]
    assert layer.features["reason"].iloc[-1] == ""


def test_choosing_no_layer_by_hand_lasts(viewer, beads, open_widget, bead_image):
    choice = open_widget("PSF distilling").widget.beads
    assert choice.value.name == "beads · beads"
    choice.value = None
    viewer.add_image(bead_image, name="another", **UM)
    assert choice.value is None
    choice.value = viewer.layers["beads · beads"].__wrapped__
    viewer.layers.remove("beads · beads")
    assert choice.value is None
    beads.run()
    assert choice.value is not None


def test_a_symmetric_psf_from_the_beads(viewer, beads, open_widget):
    hand = open_widget("PSF distilling")
    hand.widget.symmetric.value = True
    hand.widget.size.value = "13 × 15 × 15"
    hand.run()
    psf = viewer.layers["PSF (beads)"]
    np.testing.assert_allclose(psf.data, np.swapaxes(psf.data, 1, 2), atol=1e-8)
    assert psf.metadata[KEY]["parameters"]["symmetric"] is True


def test_messages_name_the_fields(viewer, beads, said):
    beads.widget.method.value = "manual"
    beads.run()
    assert said()[-1].startswith("“Threshold (grey)” empty: “Method” Manual threshold needs")


def test_the_plane_stays_where_beads_are(viewer, beads):
    plane = viewer.dims.current_step[0]
    beads.run()
    assert viewer.dims.current_step[0] == plane
    viewer.dims.set_current_step(0, 0)
    beads.run()
    assert viewer.dims.current_step == (12, *viewer.dims.current_step[1:])


def test_no_accepted_bead_is_said(viewer, beads, said):
    image = np.full((24, 72, 72), 100.0) + 1000 * blob((24, 72, 72), (12, 36, 1))
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    viewer.add_image((image + noise).astype(np.float32), name="edge", **UM)
    beads.run()
    assert any("No bead left" in message for message in said())
    assert beads.widget.result_line.text().startswith("0 of 1 beads accepted; rejected: 1 cut")
    assert viewer.layers["edge · beads"].text.values.tolist() == ["cut"]


# -- background ----------------------------------------------------------------
def test_background_of_each_plane_of_a_series(viewer, open_widget):
    rng = np.random.default_rng(0)
    series = rng.poisson([[[10.0]], [[200.0]]] * np.ones((2, 40, 40))).astype(np.uint16)
    viewer.add_image(
        series, name="t", scale=(1, 0.1, 0.1), units=("second", "µm", "µm"),
        axis_labels=("t", "y", "x"),
    )  # fmt: skip
    hand = open_widget("Background subtraction")
    hand.run()
    expected = [subtract_background(plane, "percentile", percentile=1) for plane in series]
    np.testing.assert_allclose(viewer.layers["t · background"].data, expected, rtol=1e-5)
    hand.widget.output.value = hand.widget.output.choices[1]
    hand.run()
    assert hand.widget.result_line.text().startswith("The background is 8.")
    hand.widget.method.value = "gaussian"
    hand.run()
    assert viewer.layers["t · background estimate"].data.shape == series.shape


def test_background_asks_for_voxels_only_where_lengths_matter(viewer, open_widget, bead_image):
    viewer.add_image(bead_image, name="bare")
    hand = open_widget("Background subtraction")
    hand.widget.method.value = "mean"
    assert not hand.widget.voxel_size.field.native.isVisibleTo(hand.widget)
    hand.run()
    expected = subtract_background(bead_image, "mean", factor=1.25, floor=0.1)
    np.testing.assert_array_equal(viewer.layers[-1].data, expected)
    hand.widget.method.value = "top_hat"
    assert hand.widget.voxel_size.field.native.isVisibleTo(hand.widget)

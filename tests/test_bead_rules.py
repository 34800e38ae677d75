"""Each rule that a bead has to pass, on a field with a flaw for each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from bead_fields import (
    BACKGROUND,
    FWHM,
    NO_RULES,
    RULES,
    SIGMA,
    SPACING,
    bead,
    match,
)
from napari_deconv.beads import Rejection, detect_beads
from napari_deconv.beads.rules import resample
from napari_deconv.errors import DeconvWarning


@pytest.fixture(scope="module")
def flawed():
    """Seven good beads and one or two for each rule: image, good places, {rule: places}."""
    shape = (48, 240, 240)
    good = [(24, y, x) for y in (40.3, 120.1, 200.4) for x in (40.2, 120.4, 200.3)][:7]
    image = np.full(shape, BACKGROUND)
    for place in good:
        image += bead(shape, place, 2000)
    flaws = {
        "edge": [(24, 80, 3.2), (6.2, 160, 160)],
        "neighbour": [(24, 80.2, 80.1), (24, 95.3, 84.2)],
        "saturated": [(24, 80.3, 160.2)],
        "brightness": [(24, 160.1, 80.3)],
        "doublet": [(24, 200.2, 120.0)],
        "fit": [(24, 200.3, 200.1)],
        "correlation": [(24, 160.2, 22.3)],
    }
    for place in flaws["edge"] + flaws["neighbour"]:
        image += bead(shape, place, 2000)
    image += bead(shape, flaws["saturated"][0], 5500)
    image += bead(shape, flaws["brightness"][0], 500)
    for shift in (-1.6, 1.6):
        image += bead(shape, np.add(flaws["doublet"][0], (0, 0, shift)), 1200)
    blinking = np.where(np.arange(48) % 2, 0.3, 1.0)[:, np.newaxis, np.newaxis]
    image += blinking * bead(shape, flaws["fit"][0], 2000)
    image += oblique(shape, flaws["correlation"][0], 2000)
    counts = np.random.default_rng(0).poisson(image)
    return np.minimum(counts, 4000).astype(np.uint16), np.array(good), flaws


def oblique(shape, centre, height):
    """Make a bead as wide along y and x as the others, but long and thin along the diagonals."""
    z, y, x = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    along, across = (y + x) / np.sqrt(2), (y - x) / np.sqrt(2)
    width = SIGMA[1:].mean()
    distance = (z / SIGMA[0]) ** 2 + (along / (3 * width)) ** 2 + (across / (0.73 * width)) ** 2
    return height * np.exp(-distance / 2)


@pytest.mark.parametrize("position", [(8.0, 9.0), (3.0, 4.0), (1.4, 12.6), (6.3, 17.2)], ids=str)
@pytest.mark.parametrize("planes", [(), (12,)], ids=["2-D", "3-D"])
def test_beads_at_the_border_too_are_resampled_by_splines(position, planes):
    image = np.random.default_rng(0).random((*planes, 17, 19)).astype(np.float32)
    before = image.copy()
    place = np.array([3.3] * len(planes) + [*position])
    half = [2] * len(planes) + [3, 4]
    found = resample(image, place, half)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in half], indexing="ij"))
    places = grid + place.reshape(-1, *[1] * image.ndim)
    expected = map_coordinates(image.astype(float), places, order=3, mode="nearest")
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(image, before)


def status_at(beads, places):
    index = match(np.array(places), beads.positions)
    assert np.all(index >= 0), f"not found: {places}"
    return beads.status[index].tolist()


def test_each_flaw_is_named(flawed):
    image, good, flaws = flawed
    beads = detect_beads(image, spacing=SPACING, engine="cpu")
    assert status_at(beads, good) == ["accepted"] * len(good)
    for rule, places in flaws.items():
        assert status_at(beads, places) == [rule] * len(places)
    assert beads.counts["accepted"] == len(good)
    assert sum(beads.counts.values()) == len(beads)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_switched_off(flawed, rule):
    image, good, flaws = flawed
    beads = detect_beads(
        image, spacing=SPACING, fwhm=FWHM, reject=Rejection(**{rule: False}), engine="cpu"
    )
    assert rule not in beads.counts
    assert status_at(beads, good) == ["accepted"] * len(good)
    only = dict.fromkeys(RULES, False) | {rule: True}
    beads = detect_beads(image, spacing=SPACING, fwhm=FWHM, reject=Rejection(**only), engine="cpu")
    assert set(beads.counts) == {"accepted", rule}
    assert set(status_at(beads, flaws[rule])) == {rule}


def test_without_rules_everything_is_accepted(flawed):
    beads = detect_beads(flawed[0], spacing=SPACING, fwhm=FWHM, reject=NO_RULES, engine="cpu")
    assert beads.counts == {"accepted": len(beads)}


def test_the_numbers_of_the_rules_count(flawed):
    image, _, flaws = flawed
    near = Rejection(neighbour_distance=1.0)
    assert status_at(detect_beads(image, spacing=SPACING, fwhm=FWHM, reject=near, engine="cpu"),
                     flaws["neighbour"]) == ["accepted"] * 2  # fmt: skip
    dim = Rejection(brightness_range=(0.1, 2.5))
    assert status_at(detect_beads(image, spacing=SPACING, fwhm=FWHM, reject=dim, engine="cpu"),
                     flaws["brightness"]) == ["accepted"]  # fmt: skip


def test_a_dim_speck_is_no_neighbour():
    shape = (40, 80, 80)
    image = bead(shape, (20, 40, 40), 3000) + bead(shape, (20, 40, 57), 240) + 10
    beads = detect_beads(image, spacing=SPACING, threshold=50, fwhm=FWHM, engine="cpu")
    assert beads.counts == {"accepted": 1}


def test_halo_of_a_bright_bead_is_not_beads():
    shape = (40, 120, 120)
    y, x = np.ogrid[:120, :120]
    ring = np.exp(-((np.hypot(y - 60, x - 60) - 14) ** 2) / 4) * (
        1 + np.cos(8 * np.arctan2(y - 60, x - 60))
    )
    image = bead(shape, (20, 60, 60), 3000) + 60 * ring + 10
    beads = detect_beads(image, spacing=SPACING, fwhm=FWHM, threshold=20, engine="cpu")
    assert len(beads) == 1


def test_no_bead_left_says_why_and_what_next():
    shape = (40, 100, 100)
    places = [(20, 40, 40), (20, 40, 52), (20, 54, 45)]
    image = BACKGROUND + sum(bead(shape, place, 3000) for place in places)
    with pytest.warns(DeconvWarning, match=r"3 of 3 were closer than 2 µm .* Lower the distance"):
        beads = detect_beads(image, spacing=SPACING, engine="cpu")
    assert beads.counts == {"accepted": 0, "neighbour": 3}
    with pytest.warns(DeconvWarning, match="closer than 5 FWHM"):
        detect_beads(image, engine="cpu")


@pytest.mark.parametrize("rule", RULES)
def test_every_reason_has_its_words(flawed, rule):
    """Whichever rule leaves no bead, the message counts them and gives a next step."""
    image = flawed[0]
    numbers = {
        "edge": {"edge_distance": 100.0},
        "neighbour": {"neighbour_distance": 100.0},
        "saturated": {},
        "brightness": {"brightness_range": (5.0, 6.0)},
        "doublet": {"doublet_ratio": 0.1},
        "fit": {"r_squared_axial": 1.1},
        "correlation": {"correlation_limit": 1.1},
    }[rule]
    if rule == "saturated":
        image = image[:, 60:100, 140:180]
    switches = dict.fromkeys(RULES, False) | {rule: True}
    with pytest.warns(DeconvWarning, match=r"^No bead left: (\d+) of \1 were .*\. [A-Z].*\.$"):
        beads = detect_beads(
            image, spacing=SPACING, fwhm=FWHM, reject=Rejection(**switches, **numbers), engine="cpu"
        )
    assert beads.counts[rule] == len(beads)

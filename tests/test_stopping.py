"""Stopping rules on given curves, and what the rules are fed."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
import scipy.ndimage

from napari_deconv.solvers.stopping import (
    STOPS,
    Consensus,
    expected_discrepancy,
    make_stopping,
)
from napari_deconv.solvers.thinning import split_photons

CHECKS = range(0, 501, 5)


def run(rule, discrepancies, held_out=None):
    """Feed a rule one value each five iterations; give where it stopped and what it said."""
    seen = [nan] * len(discrepancies) if held_out is None else held_out
    for iteration, d, h in zip(CHECKS, discrepancies, seen, strict=False):
        reason = rule.check(iteration, d, h)
        if reason is not None:
            return iteration, reason
    return None, None


# -- rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STOPS)
def test_no_rule_stops_while_the_fit_and_its_check_still_improve(name):
    curve = [100 * 0.9**n for n in range(40)]
    assert run(make_stopping(name, expected=0.1), curve, curve)[0] is None


@pytest.mark.parametrize("name", STOPS)
def test_no_rule_stops_before_ten_iterations_unless_the_fit_is_good(name):
    stalled = [3.0] * 100
    stopped, _ = run(make_stopping(name), stalled, stalled)
    assert stopped is None or stopped >= 10


def test_only_consensus_holds_photons_out():
    assert [name for name in STOPS if make_stopping(name).holds_out] == ["consensus"]


def test_discrepancy_stops_at_what_noise_makes():
    curve = [5.0, 2.0, 1.2, 1.1, 1.05]
    stopped, reason = run(make_stopping("discrepancy", expected=1.13), curve)
    assert stopped == 15
    assert "after 15 iterations" in reason
    assert run(make_stopping("discrepancy"), curve)[0] is None


def test_discrepancy_iterates_even_if_the_start_fits():
    assert run(make_stopping("discrepancy"), [0.9, 0.8])[0] == 5


def test_quality_stops_when_it_gains_less_than_a_hundredth():
    # Q = D₀/D grows by 5 %, 2 %, 1.1 %, 0.9 %: ΔQ/Q is taken of the later Q.
    curve = np.cumprod([1, 1 / 1.05, 1 / 1.02, 1 / 1.011, 1 / 1.009])
    stopped, reason = run(make_stopping("quality"), list(curve))
    assert stopped == 20
    assert "after 20 iterations" in reason


def test_consensus_stops_after_the_least_and_points_at_it():
    rule = Consensus()
    stopped, reason = run(rule, [1.0] * 6, [9.0, 5.0, 3.0, 2.5, 2.6, 2.4])
    assert stopped == 20
    assert rule.best == 15
    assert "after 20 iterations" in reason
    assert "iteration 15" in reason


def test_consensus_never_takes_the_start():
    rule = Consensus()
    assert run(rule, [1.0] * 4, [1.0, 2.0, 3.0, 4.0])[0] == 10
    assert rule.best == 5


@pytest.mark.parametrize(("photons", "iterations"), [(800, 400), (80, 150)])
def test_consensus_ends_near_the_best_estimate(photons, iterations):
    """Plain Richardson–Lucy on dots blurred by a Gaussian, bright and ten times dimmer."""
    rng = np.random.default_rng(3)
    points = np.zeros((200, 200))
    points[tuple(rng.integers(0, 200, (2, 250)))] = 1
    truth = scipy.ndimage.gaussian_filter(points, 1, mode="wrap")
    truth = truth / truth.max() * photons

    def blur(light):
        return scipy.ndimage.gaussian_filter(light, 2, mode="wrap")

    background = photons / 10
    image = rng.poisson(blur(truth) + background).astype(float)
    errors, best = [], {}
    for name, (fitted, held) in {
        "all": (image, image),
        "consensus": split_photons(image),
    }.items():
        x, rule = np.full(image.shape, image.mean() - background), Consensus()
        for iteration in range(iterations + 1):
            u = blur(x) + background
            if iteration % 5 == 0:
                error = np.linalg.norm(x - truth) / np.linalg.norm(truth)
                if name == "all":
                    errors.append(error)
                elif rule.check(iteration, nan, float(np.sum(u - held * np.log(u)))) is not None:
                    break
                elif rule.best == iteration:
                    best[name] = error
            x = x * blur(fitted / u)
    assert errors[-1] > 1.1 * min(errors)
    assert best["consensus"] < 1.25 * min(errors)


@pytest.mark.parametrize("photons", [0.05, 0.3, 1.4, 5.0, 40.0, 2000.0])
def test_expected_discrepancy_is_that_of_simulated_noise(photons):
    y = np.random.default_rng(0).poisson(photons, 1_000_000)
    deviance = 2 * (np.where(y > 0, y * np.log(np.maximum(y, 1) / photons), 0) - y + photons)
    standard_error = deviance.std() / 1000
    expected = expected_discrepancy(np.full((8, 8), photons))
    assert expected == pytest.approx(deviance.mean(), abs=4 * standard_error + 5e-4)


def test_expected_discrepancy_of_an_image_is_averaged_where_it_counts():
    left_dark = np.where(np.arange(64) < 32, 0.0, 1000.0) * np.ones((64, 1))
    assert expected_discrepancy(left_dark) == pytest.approx(0.5, abs=0.02)
    right = np.broadcast_to(np.arange(64) > 40, left_dark.shape)
    assert expected_discrepancy(left_dark, right) == pytest.approx(1, abs=1e-3)

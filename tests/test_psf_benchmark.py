from __future__ import annotations

import numpy as np
import pytest
from benchmarks import psf

CASE = psf.Case((9, 41, 41), "NA 1.4, oil, 5 µm deep in water")


@pytest.fixture(scope="module")
def truth():
    return psf.exact(CASE)


def test_places_start_with_the_brightest_plane_and_stay_inside():
    for optics in psf.OPTICS:
        for shape in ((65, 129, 129), (9, 41, 41)):
            case = psf.Case(shape, optics)
            middle = np.array(shape)[:, np.newaxis] // 2
            assert np.all(np.abs(psf.places(case)) <= middle)
            made = psf.PROGRAMS["napari-deconv"](case)
            values = made[tuple(middle + psf.places(case))]
            assert values[0] == values.max() == made.max()


def test_ours_is_exact_and_a_difference_is_seen(truth):
    result = psf.measure("napari-deconv", CASE)
    assert result.seconds > 0
    assert psf.error(result, truth) < 1e-6
    wrong = psf.Result(1, 0, [*result.values[:-1], result.values[-1] + 0.1 * result.values[0]])
    assert psf.error(wrong, truth) == pytest.approx(0.1, rel=1e-3)


def test_a_program_that_is_not_installed_is_said(monkeypatch, truth):
    def version(name):
        raise psf.PackageNotFoundError

    monkeypatch.setattr(psf, "version", version)
    row = psf._row(CASE, "psfmodels", truth)
    assert row[1:3] == ["psfmodels", "not installed"]
    assert f"| {row[0]} | psfmodels | not installed |" in psf.page([row])

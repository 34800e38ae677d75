"""A callback that has seen enough: what has been reached is kept, and can be made again."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deconv import deconvolve
from napari_deconv.deconvolution.history import COLUMNS
from points_in_a_box import IMAGE, PSF

OPTIONS = {"iterations": 40, "levels": 2}


def stop_at(iteration, level=1):
    def callback(state):
        states.append(state)
        if (state.iteration, state.level) == (iteration, level):
            raise StopIteration

    states = []
    return callback, states


@pytest.mark.parametrize("stop", [None, "discrepancy", "consensus"])
@pytest.mark.parametrize("method", ["richardson_lucy", "landweber"])
def test_what_was_reached_is_what_so_many_iterations_give(engine, method, stop):
    callback, states = stop_at(7)
    gain = None if stop is None else 1.0
    options = OPTIONS | {"method": method, "stop": stop, "gain": gain, "engine": engine}
    result = deconvolve(IMAGE, PSF, **options, callback=callback)
    assert result.stop_reason == "stopped by hand after 7 iterations"
    assert result.iterations == states[-1].iteration == 7
    assert result.recipe["parameters"]["iterations"] == 7
    seven = deconvolve(IMAGE, PSF, **options | {"iterations": 7})
    np.testing.assert_array_equal(result.image, seven.image)


def test_going_on_counts_the_steps_of_its_own_run(engine):
    first = deconvolve(IMAGE, PSF, iterations=5, engine=engine)
    callback, _ = stop_at(8)
    more = deconvolve(IMAGE, PSF, iterations=20, initial=first, engine=engine, callback=callback)
    assert more.iterations == 8
    assert more.recipe["parameters"]["iterations"] == 3
    eight = deconvolve(IMAGE, PSF, iterations=8, engine=engine)
    np.testing.assert_array_equal(more.image, eight.image)


def test_on_a_coarse_level_the_first_fine_step_is_still_done(engine):
    callback, _ = stop_at(2, level=2)
    result = deconvolve(IMAGE, PSF, **OPTIONS, engine=engine, callback=callback)
    one = deconvolve(IMAGE, PSF, **OPTIONS | {"iterations": 1}, engine=engine)
    assert result.iterations == 1
    np.testing.assert_array_equal(result.image, one.image)


def test_only_the_volume_at_hand_ends():
    callback, _ = stop_at(3)
    result = deconvolve(np.stack([IMAGE, IMAGE]), PSF, iterations=6, callback=callback)
    three, six = (deconvolve(IMAGE, PSF, iterations=n).image for n in (3, 6))
    np.testing.assert_array_equal(result.image, np.stack([three, six]))


def test_a_state_says_what_was_measured():
    states = []
    result = deconvolve(IMAGE, PSF, iterations=12, levels=2, callback=states.append)
    assert all(state.measured == {} for state in states if state.level > 1)
    fine = [state.measured for state in states if state.level == 1]
    assert [row["iteration"] for row in fine] == [0] * 5 + [5] * 5 + [10] * 2
    for name in COLUMNS:
        np.testing.assert_array_equal([fine[i][name] for i in (0, 5, 10)], result.history[name])


def test_what_else_it_raises_ends_the_run():
    def callback(state):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        deconvolve(IMAGE, PSF, callback=callback)

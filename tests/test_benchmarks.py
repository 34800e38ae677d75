from __future__ import annotations

import inspect
import signal
import time
from functools import partial
from itertools import islice

import numpy as np
import pytest
import scipy.signal
from benchmarks import contenders, report, solvers_table, specimen
from benchmarks.gpu import GpuStep
from benchmarks.iteration import Ratio, Step
from benchmarks.measure import Measurement, _fewest, correlations, in_own_process, measure, point
from benchmarks.scipy_loop import scipy_loop
from benchmarks.standstill import Standstill

from napari_deconv import deconvolve
from napari_deconv.deconvolution import METHODS
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.regularization import REGULARIZATIONS


@pytest.fixture(scope="module")
def small():
    return specimen.make_specimen((16, 40, 40), (15, 21, 21), seed=3)


def test_specimen_is_the_same_for_the_same_seed(small):
    again = specimen.make_specimen((16, 40, 40), (15, 21, 21), seed=3)
    np.testing.assert_array_equal(small.image, again.image)
    np.testing.assert_array_equal(small.truth, again.truth)


def test_specimen_has_light_from_outside_the_field(small):
    """Over all voxels, the noise is a thousand times smaller than what is missing."""
    inside = scipy.signal.convolve(small.truth.astype(float), small.psf, mode="same")
    assert small.psf.sum() == pytest.approx(1, abs=1e-5)
    assert small.image.mean() - small.background > 1.05 * inside.mean()


def test_specimen_is_blurred_by_the_linear_convolution():
    rng = np.random.default_rng(0)
    field, psf = rng.random((14, 17, 18)), rng.random((5, 7, 3))
    blurred = specimen._blur(field, psf, (10, 11, 16))
    direct = scipy.signal.convolve(field, psf, mode="valid", method="direct")
    np.testing.assert_allclose(blurred, direct, rtol=1e-12)


def test_specimen_survives_the_way_to_another_process(small, tmp_path):
    small.save(tmp_path / "specimen.npz")
    read = specimen.Specimen.load(tmp_path / "specimen.npz")
    np.testing.assert_array_equal(read.psf, small.psf)
    assert read.background == small.background == 100


@pytest.mark.parametrize(
    ("heavy_ball", "acceleration", "tolerance"), [(False, None, 1e-4), (True, "heavy_ball", 1e-3)]
)
def test_loop_and_our_solver_are_the_same_method(small, heavy_ball, acceleration, tolerance):
    """Two programs, one iteration; the heavy ball amplifies rounding."""
    image, psf, b = small.image, small.psf, small.background
    states = scipy_loop(image, psf, b, padding=1, heavy_ball=heavy_ball)
    loop = next(islice(states, 7, None))
    ours = deconvolve(
        image, psf, background=b, iterations=8, acceleration=acceleration, engine="cpu"
    )  # fmt: skip
    assert np.abs(loop - ours.image).max() < tolerance * ours.image.max()


@pytest.mark.parametrize("sizes", [(32, 16), (33, 17)])
@pytest.mark.parametrize(
    "adapter",
    [
        partial(contenders.ours, engine="cpu"),
        partial(contenders.loop, padding=0.5, heavy_ball=True),
    ],
)
def test_neither_ours_nor_the_loop_move_a_point(adapter, sizes):
    assert point(adapter, *sizes) == pytest.approx((0, 1), abs=5e-3)


def test_shift_and_flux_of_a_point_are_measured():
    def moved(image, psf, background, iterations):
        return 3 * np.roll(image - background, (0, 2, -1), (0, 1, 2))

    assert point(moved, 24, 16) == pytest.approx((2, 3), abs=1e-3)


def test_scikit_image_with_a_delta_gives_the_image_without_background(small):
    delta = np.zeros((5, 5, 5), np.float32)
    delta[2, 2, 2] = 1
    estimate = contenders.scikit_image(small.image, delta, 100.0, 2)
    np.testing.assert_allclose(estimate, np.maximum(small.image - 100, 0), rtol=1e-3, atol=1e-3)


def test_pyclesperanto_takes_a_psf_larger_than_the_image(small):
    """Its estimate has the light of the image, though not in its place."""
    psf = specimen.widefield_psf((31, 21, 21))
    estimate = contenders.pyclesperanto(small.image, psf, 100.0, 2)
    assert estimate.shape == small.image.shape
    assert estimate.sum() == pytest.approx(np.maximum(small.image - 100, 0).sum(), rel=0.02)


@pytest.mark.parametrize("shape", [(4, 6, 20), (5, 7, 3)])
@pytest.mark.parametrize("size", [8, 9])
def test_a_cropped_psf_keeps_its_centre(size, shape):
    psf = np.random.default_rng(1).random((size, size, size)).astype(np.float32)
    psf[(size // 2,) * 3] = 9
    part = contenders._cropped(psf, shape)
    assert all(n <= m for n, m in zip(part.shape, shape, strict=True))
    assert np.unravel_index(part.argmax(), part.shape) == tuple(n // 2 for n in part.shape)
    assert part.sum() == pytest.approx(1, rel=1e-5)


def test_correlations_are_those_of_the_smoothed_truth(small):
    smoothed = scipy.ndimage.gaussian_filter(small.truth, 1.0)
    values = correlations(smoothed, small.truth)
    assert values[2] == pytest.approx(1)
    assert values[0] == pytest.approx(np.corrcoef(smoothed.flat, small.truth.flat)[0, 1])
    assert values == sorted(values)


@pytest.mark.parametrize("needed", [1, 7, 20, 33, 100])
def test_fewest_iterations_are_found_to_a_tenth(needed):
    runs = {}

    def run(iterations):
        runs[iterations] = 0.0, [iterations / needed, 2.0]

    run(20)
    found = _fewest(runs, run, lambda iterations: True, [1.0, 1.0])
    assert needed <= found <= max(needed + 1, 1.1 * needed)


def test_no_more_is_run_than_the_time_allows(small):
    def adapter(image, psf, background, iterations):
        return image - background

    result = measure("nobody", adapter, small, [2.0, 2.0, 2.0], budget=0.0)
    assert result.enough is None
    assert max(result.runs) == 3
    assert result.point_even == pytest.approx((0, 1), abs=1e-3)
    assert result.point_odd == pytest.approx((0, 1), abs=1e-3)


def test_what_cannot_run_says_why_without_paths(tmp_path):
    outcome = in_own_process("SimpleITK", tmp_path / "absent.npz", None, 1.0)
    assert outcome.error == "FileNotFoundError: [Errno 2] No such file or directory: absent.npz'"


def results() -> report.Results:
    runs = {1: (0.5, [0.1, 0.2, 0.3]), 20: (2.0, [0.5, 0.6, 0.7])}
    reference = contenders.REFERENCE.name
    return report.Results(
        {"Processor": "Abacus, 2 cores"}, {"scipy": "1.0", "absent": ""},
        (64, 256, 256), (127, 127, 127), 40.0,
        measurements=[
            Measurement(
                reference, 20, 2.0, [0.5, 0.6, 0.7], 5_000_000, (0, 1), (1, 1.01), runs, 20
            ),
            Measurement("napari-deconv, heavy ball", 20, 1.0, [0.5, 0.6, 0.7], runs=runs, enough=1),
            Measurement("DIPlib", error="no such module"),
        ],
        ratios=[Ratio((64, 256, 256), (63, 63, 63), (128, 320, 320), 0.2, 0.25)],
        growth=[Step((32, 256, 256), 0.1, 0.2)],
    )  # fmt: skip


def test_markdown_table():
    assert report.markdown_table(["", "s"], [["a", "1"], ["b", "2"]]) == (
        "|  | s |\n| --- | ---: |\n| a | 1 |\n| b | 2 |"
    )


def test_page_holds_what_was_measured(tmp_path):
    report.write(results(), tmp_path / "benchmarks.md", tmp_path / "images" / "benchmarks.png")
    page = (tmp_path / "benchmarks.md").read_text("utf-8")
    for line in (
        "| 20 | 2.0 | 0.500 / 0.600 / 0.700 | 2.0 (20 it.) | 0.00 / 1.00 | 1.00 / 1.01 | 5 MB |",
        "| DIPlib ¹ |  | not available |",
        "- DIPlib: no such module",
        "is *napari-deconv, heavy ball*, in 0.5 s.",
        "is *napari-deconv, heavy ball*, in 0.25 of the reference's time.",
        "| 64 × 256 × 256 | 63 × 63 × 63 | 128 × 320 × 320 | 200 | 250 | 0.80 |",
        "| 32 × 256 × 256 | 2 | 0.100 | 0.200 |",
        "Not measured on a GPU.",
        "(images/benchmarks.png)",
        "- Versions: scipy 1.0\n",
    ):
        assert line in page
    assert (tmp_path / "images" / "benchmarks.png").stat().st_size > 10_000


def test_a_gpu_is_named():
    table = report.gpu_table([GpuStep("Voodoo", (64, 512, 512), 0.01, 1.0, 0.008)])
    assert "| Voodoo | 64 × 512 × 512 | 10.0 | 8.0 | 1000 |" in table


def test_solvers_table_has_every_choice():
    known = inspect.signature(deconvolve).parameters
    chosen = solvers_table.SOLVERS.values()
    assert all(options.keys() <= known.keys() for options in chosen)
    for name, choices in (
        ("method", METHODS), ("acceleration", ACCELERATIONS), ("regularization", REGULARIZATIONS),
    ):  # fmt: skip
        assert {options.get(name, known[name].default) for options in chosen} == set(choices)


def test_nrmse_does_not_know_the_unit(small):
    rng = np.random.default_rng(0)
    truth = rng.random((4, 5, 6))
    assert solvers_table.nrmse(7 * truth, truth) == pytest.approx(0, abs=1e-12)
    cosine = (truth.ravel() @ truth[::-1].ravel()) / np.sum(truth**2)
    assert solvers_table.nrmse(truth[::-1], truth) == pytest.approx(np.sqrt(1 - cosine**2))


def test_a_machine_that_stands_still_is_noticed():
    watcher = Standstill()
    try:
        end = time.monotonic() + 20
        while not watcher.ready and time.monotonic() < end:
            time.sleep(0.01)
        for stopped in (watcher.processes[-1:], watcher.processes):  # one processor, all at once
            before = time.monotonic()
            for process in stopped:
                process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            for process in stopped:
                process.send_signal(signal.SIGCONT)
            after = time.monotonic()
            time.sleep(0.2)
            assert 0.2 < watcher.within(before, after) <= after - before
        assert watcher.within(before - 20, before - 10) == 0
    finally:
        watcher.stop()

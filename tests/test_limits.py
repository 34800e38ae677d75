"""Limits of threads and memory, as both engines keep them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.fft

from napari_deconv import DeconvError, DeviceError, deconvolve, get_engine, set_limits
from napari_deconv.background import subtract_background
from napari_deconv.deconvolution import memory_needed
from napari_deconv.deconvolution.methods import METHODS
from napari_deconv.engines.limits import cores

pytestmark = pytest.mark.usefixtures("no_limits")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).poisson(50, (6, 24, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def psf():
    z, y, x = np.ogrid[-2:3, -3:4, -3:4]
    return np.exp(-(z**2) / 2 - (y**2 + x**2) / 4.0)


@pytest.fixture
def at_work(monkeypatch):
    """Count the threads that worked, and the most workers that a transform was given."""
    engine, threads, workers = get_engine("cpu"), set(), {0}
    share = engine.map

    def watched(function, items):
        def counted(item):
            threads.add(threading.get_ident())
            return function(item)

        return share(counted, items)

    def transform(name):
        real = getattr(scipy.fft, name)

        def with_workers(*args, **options):
            workers.add(options.get("workers") or 1)
            return real(*args, **options)

        monkeypatch.setattr(scipy.fft, name, with_workers)

    monkeypatch.setattr(engine, "map", watched)
    for name in ("fft", "ifft", "rfft", "irfft", "rfftn", "irfftn"):
        transform(name)
    return lambda: (len(threads), max(workers))


@pytest.mark.parametrize("method", METHODS)
def test_one_thread_is_enough_and_gives_the_same(image, psf, at_work, method):
    options = {"method": method, "iterations": 2, "gain": 1.0, "engine": "cpu"}
    set_limits(threads=1)
    volume = deconvolve(image, psf, **options).image
    plane = deconvolve(image[0], psf[2], **options).image
    assert at_work() == (1, 1)
    set_limits()
    np.testing.assert_array_equal(volume, deconvolve(image, psf, **options).image)
    np.testing.assert_array_equal(plane, deconvolve(image[0], psf[2], **options).image)


@pytest.mark.skipif(cores() < 2, reason="it takes two cores")
def test_without_a_limit_there_are_more(psf, at_work):
    deconvolve(np.eye(512), psf[2], iterations=2, engine="cpu")
    assert min(at_work()) >= 2
    assert max(at_work()) <= cores()


def test_no_more_threads_than_cores(psf, at_work):
    set_limits(threads=100)
    deconvolve(np.eye(512), psf[2], iterations=2, engine="cpu")
    assert max(at_work()) <= cores()


def test_memory_is_what_the_limit_says(image, psf, engine):
    needed = memory_needed(image, psf, engine=engine)
    set_limits(memory=needed)
    deconvolve(image, psf, iterations=1, engine=engine)
    set_limits(memory=needed - 1)
    with pytest.raises(DeviceError, match=r"needs 0\.\d MB of memory, the memory limit is 0\.\d"):
        deconvolve(image, psf, iterations=1, engine=engine)


def test_the_limit_holds_for_other_operations(engine):
    set_limits(memory=1e5)
    with pytest.raises(DeviceError, match=r"the memory limit is 0\.1 MB: crop"):
        subtract_background(
            np.ones((64, 64, 64)), method="gaussian", radius=2, spacing=1, engine=engine
        )


@pytest.mark.parametrize("limits", [{"threads": 0}, {"threads": 1.5}, {"memory": 0}])
def test_no_limit_that_is_none(limits):
    with pytest.raises(DeconvError, match=next(iter(limits))):
        set_limits(**limits)

"""Image and object give the PSF, against Richardson–Lucy written out with a matrix."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deconv import DeconvError, set_limits
from napari_deconv.psf.reverse import Reversal, Steps

CASES = [
    ((7, 10, 12), (3, 5, 5)),
    ((6, 9, 11), (4, 6, 2)),
    ((5, 8, 8), (9, 3, 11)),
    ((1, 14, 13), (1, 5, 4)),
    ((4, 1, 9), (2, 1, 3)),
]


def matrix(true_object, box):
    """u = A·p for p in its box, centre n // 2: column k is the object, shifted by k − n // 2."""
    shape = true_object.shape
    columns = []
    for k in np.ndindex(*box):
        shift = [i - n // 2 for i, n in zip(k, box, strict=True)]
        column = np.zeros(shape)
        to = [slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, shape, strict=True)]
        of = [slice(max(-s, 0), n - max(s, 0)) for s, n in zip(shift, shape, strict=True)]
        if all(s.stop > s.start for s in to):
            column[tuple(to)] = true_object[tuple(of)]
        columns.append(column.ravel())
    return np.array(columns).T


def richardson_lucy(image, true_object, start, background, mask, steps):
    a, m, y = matrix(true_object, start.shape), mask.ravel(), image.ravel()
    p, seen = start.ravel().astype(float), a.T @ mask.ravel()
    counted = seen > 0.01 * true_object.sum()
    for _ in range(steps):
        back = a.T @ (m * y / (a @ p + background.ravel()))
        p = np.where(counted, p * back / np.where(counted, seen, 1), 0)
    return p.reshape(start.shape), (a @ p).reshape(image.shape)


def scene(shape, box):
    rng = np.random.default_rng(5)
    points = (rng.random(shape) < 0.1).astype(np.float32) * 900
    points[tuple(n // 2 for n in shape)] = 700
    image = rng.poisson(300 * rng.random(shape) + 20).astype(np.float32)
    background = (5 + rng.random(shape)).astype(np.float32)
    return image, points, background, rng.random(shape) > 0.1, rng.random(box).astype(np.float32)


@pytest.mark.parametrize("shapes", CASES, ids=str)
def test_steps_are_those_of_the_formula(engine, shapes):
    image, points, background, mask, start = scene(*shapes)
    reversal = Reversal(image, mask, start.shape, engine)
    found = reversal.solve(points, background, start, Steps(3, 0, 3), None, None)
    psf, light = richardson_lucy(image, points, start, background, mask, 3)
    assert psf.max() > 0
    np.testing.assert_allclose(found.psf, psf, rtol=0, atol=1e-5 * psf.max())
    np.testing.assert_allclose(found.light, light, rtol=0, atol=1e-5 * light.max())


def test_another_object_and_background_leave_nothing_of_the_first(engine):
    image, points, background, mask, start = scene(*CASES[1])
    used, fresh = (Reversal(image, mask, start.shape, engine) for _ in range(2))
    used.solve(points[::-1], background + 3, start, Steps(4, 0, 4), "biggs", None)
    first, second = (
        reversal.solve(points, background, start, Steps(4, 0, 4), "biggs", None)
        for reversal in (used, fresh)
    )
    np.testing.assert_array_equal(first.psf, second.psf)
    np.testing.assert_array_equal(first.light, second.light)


def test_the_callback_counts_on_and_reads_the_psf(engine):
    image, points, background, mask, start = scene(*CASES[0])
    reversal = Reversal(image, mask, start.shape, engine)
    seen = []

    def look(state):
        seen.append((state.iteration, state.iterations, state.image))

    found = reversal.solve(points, background, start, Steps(3, 5, 20), "biggs", look)
    assert [step[:2] for step in seen] == [(6, 20), (7, 20), (8, 20)]
    assert seen[-1][2].shape == start.shape
    np.testing.assert_array_equal(seen[-1][2], found.psf)


def test_what_was_given_is_kept(engine):
    given = scene(*CASES[0])
    image, points, background, mask, start = (part.copy() for part in given)
    reversal = Reversal(image, mask, start.shape, engine)
    reversal.solve(points, background, start, Steps(2, 0, 2), "biggs", None)
    for before, after in zip(given, (image, points, background, mask, start), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_image_too_large_for_the_memory_is_refused(engine, no_limits):
    set_limits(memory=10_000)
    with pytest.raises(DeconvError, match=r"Distilling from an image of \(7, 10, 12\) needs"):
        Reversal(np.ones((7, 10, 12), np.float32), None, (3, 5, 5), engine)

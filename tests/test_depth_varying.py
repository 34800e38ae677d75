"""The depth-varying model against a direct sum in float64, and its use by a solver."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import DeconvError, make_psf
from napari_deconv.engines import get_engine
from napari_deconv.forward import (
    Convolution,
    DepthVarying,
    centred_at_origin,
    check_depths,
    fast_shape,
    strata_weights,
)
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.normalization import make_normalization
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy
from solver_cases import case, nrmse

# image and PSF: even and odd, PSF smaller and larger than the image, grid as large and larger
CASES = [((6, 10, 12), (3, 5, 7)), ((5, 9, 11), (4, 6, 2)), ((4, 8, 7), (9, 10, 3))]
DEPTHS = (0.4, 0.9, 1.7)
STEP = 0.3


@pytest.fixture(params=CASES, ids=str)
def shapes(request):
    return request.param


def build(engine, image, psfs, grid=None):
    """The model of PSFs in a box at the depths above, and its weights."""
    padded = [n + m - 1 for n, m in zip(image, psfs[0].shape, strict=True)]
    grid = grid or fast_shape(padded)
    weights = strata_weights(DEPTHS[: len(psfs)], STEP, image[0], grid[0])
    kernels = [centred_at_origin(psf, grid) for psf in psfs]
    return DepthVarying(engine, kernels, weights, image), weights


def random_psfs(rng, shape, count=3):
    psfs = rng.random((count, *shape)).astype(np.float32)
    return psfs / psfs.sum(axis=(1, 2, 3), keepdims=True)


def direct(x, psfs, weights, image):
    """Every voxel of the grid sends its light, spread by the PSF of its plane; float64."""
    light = np.zeros(x.shape)
    for source in np.ndindex(x.shape):
        psf = sum(w * h.astype(float) for w, h in zip(weights[:, source[0]], psfs, strict=True))
        places = [
            (s + np.arange(n) - n // 2) % size
            for s, n, size in zip(source, psf.shape, x.shape, strict=True)
        ]
        np.add.at(light, np.ix_(*places), psf * x[source])
    return light[tuple(slice(n) for n in image)]


def test_light_is_the_direct_sum(engine, shapes):
    image, psf = shapes
    rng = np.random.default_rng(5)
    psfs = random_psfs(rng, psf)
    model, weights = build(engine, image, psfs)
    x = rng.random(model.grid).astype(np.float32)
    light = engine.full(image, np.nan)
    model.apply(engine.asarray(x), light)
    expected = direct(x, psfs, weights, image)
    np.testing.assert_allclose(engine.to_numpy(light), expected, atol=3e-6 * expected.max())


def test_the_adjoint_is_exact(engine, shapes):
    """⟨Hx, y⟩ = ⟨x, Hᵀy⟩ with x on the grid, y where the data are."""
    image, psf = shapes
    rng = np.random.default_rng(7)
    model, _ = build(engine, image, random_psfs(rng, psf))
    x, y = rng.random(model.grid).astype(np.float32), rng.random(image).astype(np.float32)
    light, back = engine.full(image, np.nan), engine.full(model.grid, np.nan)
    model.apply(engine.asarray(x), light)
    forward = (engine.to_numpy(light).astype(float) * y).sum()
    model.adjoint(engine.asarray(y), back)
    backward = (engine.to_numpy(back).astype(float) * x).sum()
    assert forward == pytest.approx(backward, rel=1e-5)


def test_one_psf_at_all_depths_is_a_convolution(engine, shapes):
    image, psf = shapes
    rng = np.random.default_rng(9)
    (one,) = random_psfs(rng, psf, 1)
    varying, _ = build(engine, image, [one] * 3)
    plain = Convolution(engine, centred_at_origin(one, varying.grid), image)
    x, y = engine.asarray(rng.random(varying.grid)), engine.asarray(rng.random(image))
    for name, argument, shape in (("apply", x, image), ("adjoint", y, varying.grid)):
        results = []
        for model in (plain, varying):
            out = engine.full(shape, np.nan)
            getattr(model, name)(argument, out)
            results.append(engine.to_numpy(out))
        assert np.abs(results[0] - results[1]).max() < 1e-6 * results[0].max()


def test_a_circular_grid_keeps_all_light(engine):
    image = (6, 8, 10)
    model, _ = build(engine, image, random_psfs(np.random.default_rng(2), (3, 5, 5)), grid=image)
    observation = case(model, np.ones(image), 0).observation
    normalization = make_normalization(model, observation)
    np.testing.assert_allclose(engine.to_numpy(normalization), 1, rtol=1e-5)


def test_weights_between_two_depths_are_linear():
    weights = strata_weights((1.0, 3.0), 0.5, 8, 14)
    # planes 0 … 10 lie at 0 … 5 µm, planes 11, 12 and 13 before the first one
    second = [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(weights, [np.subtract(1, second), second], atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-30, 30), min_size=1, max_size=6, unique=True),
    st.floats(0.05, 2),
    st.integers(1, 30),
    st.integers(0, 40),
)
def test_weights_add_up_to_one(depths, spacing, planes, margin):
    weights = strata_weights(sorted(depths), spacing, planes, planes + margin)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("depths", "message"),
    [((0, 1), "3 PSFs and 2 depths"), ((0, 2, 1), "increase"), ((0, 1, 1), "increase"),
     ((0, 1, np.nan), "one number in µm"), ("deep", "one number in µm")],
)  # fmt: skip
def test_depths_that_make_no_sense_are_refused(depths, message):
    with pytest.raises(DeconvError, match=message):
        check_depths(depths, 3)


def test_check_depths_gives_plain_numbers():
    assert check_depths(np.array([0, 2, 5]), 3) == (0.0, 2.0, 5.0)


STRATA = (0.0, 8.0, 16.0, 24.0)


@pytest.fixture(scope="module")
def deep():
    """Spheres down to 24 µm in water under an oil objective, each voxel with its plane's PSF."""
    engine, shape, step = get_engine("cpu"), (48, 32, 32), 0.5
    truth = np.zeros(shape)
    rng = np.random.default_rng(6)
    for _ in range(40):
        truth[tuple(rng.integers(2, n - 2) for n in shape)] = rng.uniform(1, 3) * 2e5
    truth = scipy.ndimage.gaussian_filter(truth, (0.8, 1.2, 1.2))

    def model(depths):
        psfs = [
            make_psf(
                "gibson_lanni", shape=(25, 31, 31), spacing=(step, 0.1, 0.1), na=1.3,
                wavelength=0.52, n_sample=1.33, depth=depth, engine="cpu",
            ).data
            for depth in depths
        ]  # fmt: skip
        grid = fast_shape([n + m - 1 for n, m in zip(shape, psfs[0].shape, strict=True)])
        weights = strata_weights(depths, step, shape[0], grid[0])
        return DepthVarying(engine, [centred_at_origin(p, grid) for p in psfs], weights, shape)

    exact = model(np.arange(shape[0]) * step)
    light = engine.full(shape, 0)
    exact.apply(engine.asarray(truth, exact.grid), light)
    return model, np.random.default_rng(0).poisson(np.maximum(light, 0) + 5.0), truth


@pytest.mark.filterwarnings("ignore::napari_deconv.DeconvWarning")
def test_strata_beat_the_psf_of_the_middle(deep):
    model, image, truth = deep
    errors = {}
    for name, depths in (("middle", [12.0]), ("strata", STRATA)):
        problem = case(model(depths), image.astype(np.float32), 5)
        engine, position = problem.model.engine, problem.start()
        for _ in problem.run(
            richardson_lucy, position, 40, acceleration=HeavyBall(engine),
            regularization=Unregularized(),
        ):  # fmt: skip
            pass
        errors[name] = nrmse(problem.read(position.estimate), truth)
    assert errors["strata"] < 0.93 * errors["middle"]

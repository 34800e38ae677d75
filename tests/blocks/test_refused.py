"""What cannot be done in tiles is refused, in words that help."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from tests.blocks.cases import bars

from napari_deconv import DeconvError, DeconvWarning, deconvolve
from napari_deconv.blocks import deconvolve_blocks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "blind"}, "Find it on a crop"),
        ({"method": "ictm", "block": 48}, "Use 'nnls'"),
        ({"method": "tikhonov", "block": 48}, "Use 'wiener'"),
        ({"method": "inverse", "block": 48}, "Use 'wiener'"),
        ({"acceleration": "biggs", "block": 48}, "Use 'heavy_ball'"),
        ({"boundary": "circular", "block": 48}, "Use 'padded'"),
        ({"initial": np.ones((16, 96, 96))}, "on a crop"),
        ({"keep_every": 5}, "on a crop"),
        ({"background": 1e6}, "above the whole image"),
        ({"background": -1.0}, "is not light"),
        ({"background": np.ones(95)}, r"background has shape \(95,\)"),
        ({"background": np.full(96, 1e6)}, "above the whole image"),
        ({"background": np.linspace(-1, 1, 96)}, "is not light: 73728 of its voxels are"),
        ({"background": np.where(np.arange(96) == 50, np.nan, 1)}, "is not light: 1536 of its"),
        ({"background": np.where(np.arange(96) == 50, np.inf, 1)}, "is not light: 1536 of its"),
        ({"mask": np.zeros((16, 96, 96))}, "leaves out every voxel"),
        ({"mask": np.full((16, 96, 96), 0.5)}, "The mask is not one"),
        ({"block": (4, 4)}, "3 numbers of voxels"),
        ({"overlap": -1}, "overlap"),
        ({"memory": 1e5}, "Even a tile of 16 × 16 × 16"),
    ],
    ids=str,
)
def test_what_tiles_cannot_do_is_refused(options, words):
    sample = bars()
    with pytest.raises(DeconvError, match=words):
        deconvolve_blocks(sample.image, sample.psf, **{"engine": "cpu"} | options)


def test_what_is_no_array_is_refused():
    with pytest.raises(DeconvError, match="is a list: expected a Dask, Zarr or NumPy array"):
        deconvolve_blocks([[1, 2], [3, 4]], np.ones((3, 3)))
    with pytest.raises(DeconvError, match="complex"):
        deconvolve_blocks(da.zeros((8, 8), dtype=complex), np.ones((3, 3)))
    with pytest.raises(TypeError, match="no option itterations"):
        deconvolve_blocks(np.ones((8, 8)), np.ones((3, 3)), itterations=3)


@pytest.mark.parametrize("brightness", [0.1, 1, 3, 3.3, 20])
@pytest.mark.parametrize(
    "options", [{"iterations": 2}, {"method": "wiener", "regularization_weight": 0.01}], ids=str
)
def test_one_brightness_everywhere_is_warned_of_as_in_memory(brightness, options):
    psf, image = bars().psf, np.full((16, 96, 96), brightness)
    with pytest.warns(DeconvWarning, match="The image is constant"):
        expected = deconvolve(image, psf, engine="cpu", **options).image
    with pytest.warns(DeconvWarning, match="The image is constant"):
        lazy = deconvolve_blocks(image, psf, block=(16, 48, 48), engine="cpu", **options)
    np.testing.assert_allclose(lazy.compute(), expected, atol=1e-3 * brightness)

"""Draw where each stopping rule ends on bright and dim data: python docs/stopping.py FILE.png."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from napari_deconv import convolve, deconvolve, sample_data
from napari_deconv.psf.prepare import crop_to_support
from napari_deconv.solvers.stopping import STOPS

Image = npt.NDArray[np.float32]

ITERATIONS, EVERY = 120, 5
COLOURS = {"discrepancy": "tab:orange", "quality": "tab:red", "consensus": "tab:green"}


def error(estimate: Image, truth: Image) -> float:
    """NRMSE: |x − t|/|t|."""
    return float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth))


def main(path: str) -> None:
    """Simulate, deconvolve, plot."""
    sample = sample_data.cells_widefield((24, 128, 128), engine="cpu")
    psf = crop_to_support(sample.psf.data)
    blurred = convolve(sample.truth, psf, boundary="zero", engine="cpu").clip(0)
    _, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, (light, photons) in zip(
        axes, {"bright": 800, "10 × dimmer": 80}.items(), strict=True
    ):
        scale, background = photons / blurred.max(), 0.1 * photons
        truth = scale * sample.truth
        image = np.random.default_rng(1).poisson(scale * blurred + background)
        options = {"background": background, "gain": 1, "iterations": ITERATIONS, "engine": "cpu"}
        whole = deconvolve(image, psf, keep_every=EVERY, **options)
        errors = {step: error(kept, truth) for step, kept in whole.intermediate.items()}
        best = min(errors.values())
        axis.plot(list(errors), list(errors.values()), "0.3", label="error against the truth")
        for stop in STOPS[1:]:
            result = deconvolve(image, psf, stop=stop, **options)
            found = error(result.image, truth)
            label = f"{stop}: {found / best:.2f} × the best"
            axis.plot(result.iterations, found, "o", color=COLOURS[stop], label=label)
            print(f"{light:12} {stop:12} {result.iterations:4} iterations, {label}")
        axis.axhspan(best, 1.25 * best, color="0.92", label="within 25 % of the best")
        axis.set(title=f"{light}: {photons} photons", xlabel="iterations", ylim=(0, 1.6))
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("NRMSE")
    plt.savefig(path, dpi=120)


if __name__ == "__main__":
    main(sys.argv[1])

"""Report about an objective used with the wrong medium: python docs/report.py FILE.png."""

from __future__ import annotations

import sys

import numpy as np

from napari_deconv import convolve, detect_beads, distill_psf, make_psf
from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.psf.report import make_report
from napari_deconv.psf.report.figure import draw_page

SPACING, SHAPE = (0.15, 0.08, 0.08), (48, 288, 288)
DESIGN = {"na": 1.4, "wavelength": 0.52, "n_immersion": 1.515}
NOTES = {"microscope": "simulated", "objective": "100×/1.4 oil", "recorded": "1 November"}


def main(path: str) -> None:
    """Simulate beads in glycerol under oil, distil their PSF, report."""
    blurred = make_psf(
        "vectorial", shape=(35, 191, 191), spacing=SPACING, n_sample=1.46, depth=5.0, engine="cpu",
        **DESIGN,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    points = np.zeros(SHAPE, np.float32)
    for y, x in np.mgrid[24:288:40, 24:288:40].reshape(2, -1).T:
        dy, dx = rng.integers(-5, 6, 2)
        points[24, y + dy, x + dx] = 2e5
    image = rng.poisson(convolve(points, blurred, boundary="zero", engine="cpu").clip(0) + 100)
    beads = detect_beads(image, spacing=SPACING, engine="cpu")
    psf = distill_psf(image, beads, spacing=SPACING, engine="cpu")
    statistics = bead_statistics(beads, image, psf)
    report = make_report(psf, statistics=statistics, theory=DESIGN, notes=NOTES)
    draw_page(report).savefig(path, dpi=110)
    print("\n".join(report.findings))


if __name__ == "__main__":
    main(sys.argv[1])

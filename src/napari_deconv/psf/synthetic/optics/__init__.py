"""From objective and specimen to the pupil: the optical models of a widefield microscope.

Each model is a set of integrals over the pupil, one for each Bessel order m,

    U_m(z, r) = ∫ A_m(s)·exp(−i·k·z·q(s))·J_m(k·s·r)·s ds,   I = Σ_m |U_m|²,   s = n_i·sinθ ≤ NA,

and differs in the axial term q(s) and the amplitudes A_m(s). All lengths are in µm.
"""

from napari_deconv.psf.synthetic.optics.base import Optics, Pupil
from napari_deconv.psf.synthetic.optics.layers import Layers
from napari_deconv.psf.synthetic.optics.scalar import BornWolf, GibsonLanni
from napari_deconv.psf.synthetic.optics.vectorial import Vectorial

__all__ = ["BornWolf", "GibsonLanni", "Layers", "Optics", "Pupil", "Vectorial"]

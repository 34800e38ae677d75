"""The fields that set a method of deconvolution: only what the method takes is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import LineEdit

from napari_deconv.deconvolution import METHODS
from napari_deconv.deconvolution.settings import WITH_AUTOMATIC_WEIGHT
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.regularization import DEFAULT_WEIGHTS, REGULARIZATIONS
from napari_deconv.solvers.stopping import STOPS
from napari_deconv.widgets.common.fields import check, choice, entry, integer, number, read_number

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

    from napari_deconv.deconvolution.methods import Method

__all__ = ["MethodFields"]

_STOPS = {
    None: "After the iterations",
    "discrepancy": "At the noise level",
    "quality": "No more progress",
    "consensus": "Only noise left",
}
_SMOOTHINGS = {
    None: "None",
    "tv": "Total variation",
    "tikhonov": "Tikhonov",
    "roughness": "Good's roughness",
}
_ACCELERATIONS = {
    "heavy_ball": "Heavy ball",
    "wiener_butterworth": "Wiener–Butterworth",
    "biggs": "Biggs–Andrews",
    None: "None",
}
_NOISES = [
    ("Photons", "photons"),
    ("Photons, damped", "damping"),
    ("Photons + camera", "read_noise"),
]
_SMOOTHNESS = "More is smoother, less is sharper and noisier. Empty: what the grey text says."


class MethodFields:
    """The method of a deconvolution with its settings.

    Attributes
    ----------
    main, more : list of ValueWidget
        The fields that matter, and those that are right for most images, in the order they are
        shown in.
    """

    def __init__(self) -> None:
        self.method = choice(
            "Method",
            [(method.title, name) for name, method in METHODS.items()],
            "Richardson–Lucy gives the best pictures of noisy data. The filters take one step and "
            "ring around bright objects. Blind finds the PSF as well, from the one that is chosen.",
        )
        self.iterations = integer(
            "Iterations", 40, "More is sharper, until the noise turns into grains."
        )
        self.stop = choice(
            "Stop",
            [(_STOPS[name], name) for name in STOPS],
            "More iterations than the image deserves make grains. At the noise level: when the "
            "result, blurred again, differs from the image by no more than the noise of photons. "
            "No more progress: when the fit hardly improves. Only noise left: when what is still "
            "found does not agree with a tenth of the photons kept aside.",
        )
        self.stop.value = "consensus"
        self.smoothness = entry("Smoothness", "", _SMOOTHNESS)
        self.symmetric_psf = check(
            "Symmetric PSF", False, "The PSF that is found is round in every plane."
        )
        self.main: list[ValueWidget] = [self.method, self.iterations, self.stop, self.smoothness]
        self.main += [self.symmetric_psf]
        self.more = [*self._speed(), *self._noise()]
        self.method.changed.connect(self._explain)
        self.smoothing.changed.connect(self._explain)
        self.gain.changed.connect(self._explain)
        self._explain()

    def _speed(self) -> list[ValueWidget]:
        self.coarse_start = check(
            "Coarse-to-fine start",
            True,
            "Begins with the image binned by 2 and by 4, which takes little time: sharper after "
            "the same number of iterations.",
        )
        self.acceleration = choice(
            "Acceleration",
            [(_ACCELERATIONS[name], name) for name in ACCELERATIONS],
            "Heavy ball reaches in 40 iterations what takes about 200 without. Wiener–Butterworth "
            "is for when only a few iterations are affordable.",
        )
        return [self.coarse_start, self.acceleration]

    def _noise(self) -> list[ValueWidget]:
        self.smoothing = choice(
            "Smoothing",
            [(_SMOOTHINGS[name], name) for name in REGULARIZATIONS],
            "Takes grains away. Total variation keeps edges, fine texture goes with the grains; "
            "Tikhonov smooths bright parts, Good's roughness differences relative to the light.",
        )
        self.smoothing_weight = entry("Smoothness", "", _SMOOTHNESS)
        self.noise = choice(
            "Noise",
            _NOISES,
            "What is taken as noise. Damped: small differences from the image are hardly followed, "
            "which keeps dark parts smooth. Photons + camera: for dim images.",
        )
        self.damping = number(
            "Damping (σ)", 3.0,
            "Differences of fewer standard deviations of the noise are hardly followed.",
            step=0.5, least=0.5, most=20,
        )  # fmt: skip
        self.read_noise = number(
            "Read noise (grey)", 2.0, "Standard deviation of an image taken without light.",
            step=0.1,
        )  # fmt: skip
        self.gain = entry(
            "Gain (grey)", "", "Grey values that one photon makes. Empty: it is measured "
            "from the image's noise.", "automatic",
        )  # fmt: skip
        self.offset = entry("Offset (grey)", "", "Grey value without light.")
        weighed: list[ValueWidget] = [self.smoothing, self.smoothing_weight, self.noise]
        return [*weighed, self.damping, self.read_noise, self.gain, self.offset]

    @property
    def kind(self) -> Method:
        """The chosen method's entry in `METHODS`."""
        return METHODS[self.method.value]

    @property
    def iterations_are_a_limit(self) -> bool:
        """Whether it may end before."""
        return "stop" in self.kind.takes and self.stop.value is not None

    def applies(self) -> dict[ValueWidget, bool]:
        """Say of each field but the method whether it has an effect now."""
        kind, takes = self.kind, self.kind.takes
        smooths, noise = "regularization" in takes, "damping" in takes
        return {
            self.iterations: not kind.direct,
            self.stop: "stop" in takes,
            self.smoothness: "regularization_weight" in takes and not smooths,
            self.symmetric_psf: "symmetric_psf" in takes,
            self.coarse_start: kind.coarse_to_fine and not kind.direct,
            self.acceleration: smooths,
            self.smoothing: smooths,
            self.smoothing_weight: smooths and self.smoothing.value is not None,
            self.noise: noise,
            self.damping: noise and self.noise.value == "damping",
            self.read_noise: noise and self.noise.value == "read_noise",
            self.gain: self._counts_photons(),
            self.offset: self._counts_photons(),
        }

    def named(self) -> dict[str, ValueWidget]:
        """Name the fields as `deconvolve` names its parameters."""
        smooths = "regularization" in self.kind.takes
        return {
            "method": self.method,
            "iterations": self.iterations,
            "stop": self.stop,
            "symmetric_psf": self.symmetric_psf,
            "levels": self.coarse_start,
            "acceleration": self.acceleration,
            "regularization": self.smoothing,
            "regularization_weight": self.smoothing_weight if smooths else self.smoothness,
            "damping": self.damping,
            "read_noise": self.read_noise,
            "gain": self.gain,
            "offset": self.offset,
        }

    def parameters(self) -> dict[str, Any]:
        """Give what `deconvolve` takes, of the fields that apply.

        Raises
        ------
        DeconvError
            If what is typed is no number.
        """
        applies = self.applies()
        given = {
            name: _read(field) for name, field in self.named().items() if applies.get(field, True)
        }
        if given.pop("levels", False):
            given["levels"] = "auto"
        if given.get("regularization_weight", 0) is None and self._weighed in WITH_AUTOMATIC_WEIGHT:
            given["regularization_weight"] = "auto"
        return given

    @property
    def _weighed(self) -> str:
        """What the weight is one of: a regularisation or a method."""
        smooths = "regularization" in self.kind.takes
        return (self.smoothing.value or "") if smooths else self.method.value

    def _counts_photons(self) -> bool:
        """Tell whether one has to know what one photon is."""
        applies_noise = "damping" in self.kind.takes and self.noise.value != "photons"
        stops = "stop" in self.kind.takes and self.stop.value in ("discrepancy", "consensus")
        return applies_noise or stops or self.kind.counts_photons

    def _explain(self) -> None:
        """Say in the fields what an empty one stands for."""
        default = DEFAULT_WEIGHTS.get(self._weighed, self.kind.weight)
        automatic = self._weighed in WITH_AUTOMATIC_WEIGHT
        for field in (self.smoothness, self.smoothing_weight):
            field.native.setPlaceholderText("automatic" if automatic else f"{default}")
        self.offset.native.setPlaceholderText("0" if self.gain.value.strip() else "automatic")


def _read(field: ValueWidget) -> Any:
    """Read a field; None where nothing is typed."""
    if not isinstance(field, LineEdit):
        return field.value
    return read_number(field.value) if field.value.strip() else None

"""The options of each step of a recipe: the keyword parameters of its public function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from napari_deconv.acquisition import simulate_acquisition
from napari_deconv.background import METHODS as BACKGROUNDS
from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.beads import METHODS as DETECTIONS
from napari_deconv.beads import Rejection, detect_beads
from napari_deconv.deconvolution import METHODS, convolve, deconvolve
from napari_deconv.deconvolution.settings import check_settings
from napari_deconv.psf.distill import distill_psf
from napari_deconv.psf.synthetic.models import make_psf, takes
from napari_deconv.recipe.text import wrong_key

__all__ = [
    "OF_BACKGROUND", "WITHOUT_SPACING", "Acquisition", "Background", "BackgroundEstimate", "Beads",
    "Convolution", "Deconvolution", "Distilling", "Keys", "Length", "Lengths", "Optics", "Spacing",
]  # fmt: skip

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Lengths = Annotated[Sequence[Length], Field(min_length=1, max_length=3)]
Spacing = Literal["pixels"] | Length | Lengths
"""A voxel size in µm; ``"pixels"`` stands for none: lengths are in voxels then."""

WITHOUT_SPACING = ("mean", "constant", "percentile")
"""Methods, of backgrounds, to which the voxel size makes no difference."""

OF_BACKGROUND = {
    "mean": ("factor", "floor"),
    "constant": ("value",),
    "percentile": ("percentile",),
    "rolling_ball": ("radius",),
    "top_hat": ("radius",),
    "gaussian": ("radius",),
}
"""What each method of a background takes, of what the others do not."""

_Light = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# What comes from the other sections of a recipe, and several PSFs in one run, for which it has no
# word.
_LEFT_OUT = ("image", "truth", "psf", "beads", "mask", "initial", "depths", "engine", "callback")


class Keys(BaseModel):
    """Keys with values; others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_serializer(mode="wrap")
    def _with_method(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Name the method even where it is the default: it says what is done."""
        data: dict[str, Any] = serialize(self)
        method = getattr(self, "method", None)
        return data if method is None else {"method": method, **data}


def _options(function: Callable[..., Any], **types: Any) -> Any:
    """Make a base class from a function's signature, but for the types that are given."""
    hints = get_type_hints(function) | types
    options: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "spacing":
            options[name] = (Spacing | None, None)
        elif name not in _LEFT_OUT:
            default = ... if parameter.default is parameter.empty else parameter.default
            options[name] = (hints[name], default)
    return create_model(function.__name__, __base__=Keys, **options)


class Rules(
    create_model(  # type: ignore[misc]  # the classes here are made from signatures
        "Rejection",
        __base__=Keys,
        **{
            rule.name: (get_type_hints(Rejection)[rule.name], rule.default)
            for rule in fields(Rejection)
        },
    )
):
    """The rules a bead has to pass: `napari_deconv.Rejection`."""


def _of_method(cls: type[BaseModel], value: Any, given: ValidationInfo) -> Any:
    """Refuse what means nothing to the method of a background."""
    name, method = given.field_name or "", given.data.get("method")
    expected = [
        each for each in OF_BACKGROUND.get(str(method), (name,)) if each in cls.model_fields
    ]
    if name not in expected and value != cls.model_fields[name].default:
        raise ValueError(
            f"the method {method!r} takes no {name}: expected {' and '.join(expected)}"
        )
    return value


class Background(
    _options(subtract_background, method=Literal[BACKGROUNDS])  # type: ignore[misc]
):
    """Options of `napari_deconv.subtract_background`: those that the method takes."""

    _taken = field_validator("factor", "floor", "radius", "percentile", "value")(_of_method)


class BackgroundEstimate(
    _options(estimate_background, method=Literal[BACKGROUNDS])  # type: ignore[misc]
):
    """Options of `napari_deconv.estimate_background`: those that the method takes."""

    _taken = field_validator("factor", "radius", "percentile", "value")(_of_method)


class Beads(
    _options(  # type: ignore[misc]
        detect_beads, method=Literal[DETECTIONS], background=_Light | None, reject=Rules | None
    )
):
    """Options of `napari_deconv.detect_beads`."""


class Distilling(_options(distill_psf, background=_Light | None)):  # type: ignore[misc]
    """Options of `napari_deconv.distill_psf`."""


class Convolution(_options(convolve)):  # type: ignore[misc]
    """Options of `napari_deconv.convolve`."""


class Acquisition(_options(simulate_acquisition)):  # type: ignore[misc]
    """Options of `napari_deconv.simulate_acquisition`."""


class Deconvolution(
    _options(  # type: ignore[misc]
        deconvolve, method=Literal[tuple(METHODS)], background=Literal["auto"] | _Light
    )
):
    """Options of `napari_deconv.deconvolve`, checked against each other."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        others = ("spacing", "background", "centre_psf")
        # Its errors are ValueErrors, which pydantic gives a place.
        check_settings(**{name: value for name, value in self if name not in others})
        return self


class Optics(_options(make_psf)):  # type: ignore[misc]
    """Options of `napari_deconv.make_psf`: those that the model takes."""

    @model_validator(mode="after")
    def _taken(self) -> Self:
        of_all = ("model", "shape", "spacing", "modality", "centre", "flip_z", "pixel_integration")
        known = takes(self.model, self.modality)
        surplus = self.model_fields_set - {*known, *of_all}
        if surplus:
            raise wrong_key(
                min(surplus),
                f"the model {self.model!r} ({self.modality}) takes no "
                f"{', '.join(sorted(surplus))}: expected {', '.join(known)}",
            )
        return self

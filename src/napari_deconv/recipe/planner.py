"""From a recipe to the calls it stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_deconv import sample_data
from napari_deconv.acquisition import simulate_acquisition
from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.beads import Beads, Rejection, detect_beads
from napari_deconv.deconvolution import convolve, deconvolve
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, read_image
from napari_deconv.psf import Psf, distill_psf, load_psf, make_psf
from napari_deconv.psf.clean import repair_psf
from napari_deconv.recipe.calls import Layer, Ref
from napari_deconv.recipe.channels import take_channel
from napari_deconv.recipe.options import WITHOUT_SPACING, Acquisition, Keys, Rules
from napari_deconv.recipe.plan import Plan, Variables
from napari_deconv.recipe.schema import BeadImage, PsfSource, Source, Steps
from napari_deconv.recipe.ways import IN_MEMORY, Way

__all__ = ["Planner"]

# What an earlier run to go on from has from the recipe where it says nothing else.
_INHERITED = ("input", "background", "psf", "mask")


@dataclass(frozen=True)
class _Field:
    """An image as a variable, with its voxel size: a variable, a number or numbers, or none."""

    data: Ref
    spacing: Any


class Planner:
    """Plans a recipe.

    Parameters
    ----------
    given : Image or str, optional
        The image, or the path of one, to take instead of the recipe's input.
    arrays : mapping
        Arrays of layers by name: `Image`, array or `Beads`.
    engine : str, optional
        Where to compute, whatever the recipe says.
    way : Way
        What the last deconvolution and what comes before it are done with.
    blocks : mapping
        Arguments of a deconvolution in blocks.
    """

    def __init__(
        self,
        given: Image | str | None,
        arrays: Mapping[str, Any],
        engine: str | None,
        way: Way = IN_MEMORY,
        blocks: Mapping[str, Any] | None = None,
    ) -> None:
        self._given, self._arrays, self._engine = given, arrays, engine
        self._way, self._blocks = way, dict(blocks or {})
        self._variables = Variables()
        self._image: Ref | None = None
        self._channel: dict[str, int] = {}

    def plan(self, steps: Steps) -> Plan:
        """Plan it."""
        self._recipe = steps
        if steps.psf is None or steps.psf.channels is None:
            result, spacing = self._do(steps, "auto", main=True)
        else:
            result, spacing = self._each_channel(steps, steps.psf.channels)
        made = self._variables
        return Plan(made.steps, result, self._image, spacing, made.names, made.origins)

    # -- what is done ----------------------------------------------------------------------------

    def _do(self, steps: Steps, engine: str, main: bool) -> tuple[Ref, Any]:
        """Plan all steps; returns the result and the voxel size of its image."""
        engine = self._engine or steps.engine or engine
        if steps.last is None and steps.background is None:
            psf = self._psf(steps, engine, main)
            return psf, Ref(psf.name, ".spacing")
        image = self._source(steps.input or Source(), engine, main)
        if steps.background is not None:
            subtract = self._way.subtract if main else subtract_background
            arrays = {"image": image}
            less = self._compute("subtracted", subtract, arrays, steps.background, engine)
            image = _Field(less, image.spacing)
        return self._last(steps, image, engine, self._way if main else IN_MEMORY), image.spacing

    def _each_channel(self, steps: Steps, psfs: Sequence[PsfSource]) -> tuple[Ref, Any]:
        """Plan the same for each channel, with its own PSF, and put the results together."""
        results = []
        for channel, psf in enumerate(psfs):
            self._channel = {"channel": channel, "channels": len(psfs)}
            one = steps.model_copy(update={"psf": psf})
            result, spacing = self._do(one, "auto", main=True)
            results.append(result)
        arrays = {"image": self._image, "results": results}
        return self._variables.call("result", self._way.stack, arrays), spacing

    def _last(self, steps: Steps, image: _Field, engine: str, way: Way) -> Ref:
        if steps.deconvolution is not None:
            arrays = {"image": image, "psf": self._psf(steps, engine, False, image.spacing)}
            if steps.mask is not None:
                arrays["mask"] = self._source(steps.mask, engine, False, "mask").data
            if steps.initial is not None:
                arrays["initial"] = self._initial(steps, engine)
            name = "result" if steps is self._recipe else "deconvolved"
            # What deconvolves in blocks takes the same, and says how large they are.
            given = self._arguments(deconvolve, arrays, steps.deconvolution, engine)
            blocks = {} if way is IN_MEMORY else self._blocks
            return self._variables.call(name, way.deconvolve, given[0], given[1] | blocks)
        if steps.convolution is not None or steps.acquisition is not None:
            return self._blurred(steps, image, engine)
        if steps.beads is not None:
            return self._compute("beads", detect_beads, {"image": image}, steps.beads, engine)
        if steps.background_estimate is not None:
            return self._compute(
                "background", estimate_background, {"image": image}, steps.background_estimate,
                engine,
            )  # fmt: skip
        return image.data

    def _blurred(self, steps: Steps, image: _Field, engine: str) -> Ref:
        psf = self._psf(steps, engine, False, image.spacing)
        if steps.convolution is not None:
            arrays = {"image": image, "psf": psf}
            return self._compute("blurred", convolve, arrays, steps.convolution, engine)
        arrays = {"truth": image, "psf": psf}
        options = steps.acquisition or Acquisition()
        return self._compute("recorded", simulate_acquisition, arrays, options, engine)

    def _compute(
        self,
        name: str,
        function: Callable[..., Any],
        arrays: Mapping[str, Any],
        options: Keys,
        engine: str,
        spacing: Any = None,
    ) -> Ref:
        """Plan a call with the options that are not the function's defaults."""
        return self._variables.call(
            name, function, *self._arguments(function, arrays, options, engine, spacing)
        )

    def _arguments(
        self,
        function: Callable[..., Any],
        arrays: Mapping[str, Any],
        options: Keys,
        engine: str,
        spacing: Any = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give the arguments of a call, positional and by keyword."""
        positional: dict[str, Any] = {}
        keywords: dict[str, Any] = {}
        for key, parameter in inspect.signature(function).parameters.items():
            if key in arrays:
                value = arrays[key].data if isinstance(arrays[key], _Field) else arrays[key]
            elif key == "spacing":
                value = _spacing(options, arrays.get("image", arrays.get("truth")), spacing)
            elif key == "engine":
                value = engine
            else:
                value = _plain(getattr(options, key, parameter.default))
            if value is None and parameter.default is parameter.empty:
                raise DeconvError(f"{function.__name__} needs {key}: write it into the recipe.")
            if parameter.kind is not parameter.KEYWORD_ONLY and key in (*arrays, "model"):
                positional[key] = value
            elif key in arrays or value != parameter.default:
                keywords[key] = value
        return positional, keywords

    # -- images ----------------------------------------------------------------------------------

    def _source(
        self, source: Source | BeadImage, engine: str, main: bool, role: str = "image"
    ) -> _Field:
        """Plan how an image is got; the main one may have been given."""
        if source.recipe is not None:
            result, spacing = self._do(source.recipe, engine, main)
            last = source.recipe.last
            if last == "beads":
                raise DeconvError("The recipe of an input makes beads: expected an image.")
            data = Ref(result.name, ".image") if last == "deconvolution" else result
            field = _Field(data, spacing)
        else:
            field = self._leaf(source, self._given if main else None, role)
            if main:
                self._image = Ref(field.data.name)
                field = self._of_channel(field)
        if source.spacing == "file":
            return field
        return _Field(field.data, None if source.spacing == "pixels" else _plain(source.spacing))

    def _of_channel(self, image: _Field) -> _Field:
        """Plan that the channel at hand is taken of an image, if there are PSFs for each."""
        if not self._channel:
            return image
        origin = self._variables.origin_of(image.data.name)
        if image.data.part != ".data" or "channel" in origin:
            raise DeconvError(
                "The recipe has a PSF for each channel, its input is one channel, a sample or a "
                "layer: give a file with all channels, or one PSF."
            )
        origin["channel"] = self._channel["channel"]
        whole = {"image": Ref(image.data.name)}
        one = self._variables.call("channel", take_channel, whole, self._channel, origin=origin)
        return _Field(Ref(one.name, ".data"), image.spacing)

    def _leaf(self, source: Source | BeadImage, given: Image | str | None, role: str) -> _Field:
        """Plan how an image is read."""
        part = ".data != 0" if role == "mask" else ".data"
        if isinstance(given, Image) or (source.layer in self._arrays and given is None):
            image = given if given is not None else self._arrays[source.layer or ""]
            ref = self._variables.bind(role, image, {"layer": source.layer or role})
        elif given is not None or source.path is not None:
            place = {"channel": source.channel, "position": source.position}
            # What lies on the voxels of the image is as large as it.
            read = self._way.read if role in ("image", "mask") else read_image
            ref = self._read(role, given or source.path or "", read, **place)
        elif source.sample is not None:
            function = getattr(sample_data, source.sample)
            ref = self._variables.call("sample", function, {}, origin={"sample": source.sample})
            part = f".{source.part}"
        elif source.layer is not None:
            ref = self._variables.add(Layer(self._variables.new(role), source.layer))
            # Labels are painted over what is left out; a file is 0 there.
            return _Field(Ref(ref.name, part.replace("!=", "==")), None)
        else:
            raise DeconvError(
                f"The recipe names no {role}: give the file to work on, or write input: {{path: …}}"
                " into it."
            )
        return _Field(Ref(ref.name, part), Ref(ref.name, ".spacing"))

    def _read(
        self, role: str, path: str, read: Callable[..., Any] = read_image, **place: int | None
    ) -> Ref:
        number = {name: value for name, value in place.items() if value is not None}
        origin = {"path": path, **number}
        return self._variables.call(role, read, {"path": path}, number, origin=origin)

    def _initial(self, steps: Steps, engine: str) -> Ref:
        """Plan an earlier run on the same data to go on from, or an estimate to start from."""
        source = steps.initial or Source()
        if source.recipe is None or source.recipe.deconvolution is None:
            return self._source(source, engine, False, "initial").data
        same = {
            name: getattr(steps, name) for name in _INHERITED if not getattr(source.recipe, name)
        }
        before = source.recipe.model_copy(update=same)
        return self._do(before, engine, main=source.recipe.input is None)[0]

    # -- PSFs ------------------------------------------------------------------------------------

    def _psf(self, steps: Steps, engine: str, main: bool, spacing: Any = None) -> Ref:
        """Plan how the PSF is got, for an image of this voxel size."""
        psf = steps.psf
        if psf is None:
            raise DeconvError("The recipe names no PSF: write psf: {file: …} into it.")
        if psf.channels is not None:
            raise DeconvError("Only the last step takes a PSF for each channel, not one before.")
        if psf.optics is not None:
            return self._compute("psf", make_psf, {}, psf.optics, engine, spacing)
        if psf.beads is not None:
            return self._distilled(psf.beads, engine, main and steps.input is None)
        if psf.sample is not None:
            sample = self._leaf(Source(sample=psf.sample), None, "sample")
            return Ref(sample.data.name, ".psf")
        voxel = spacing if psf.spacing == "image" else _plain(psf.spacing)
        if psf.recipe is not None:
            return self._psf_of(psf.recipe, engine, voxel)
        origin: dict[str, Any] = {} if psf.spacing == "file" else {"spacing": psf.spacing}
        if psf.layer is not None:
            layer = self._leaf(Source(layer=psf.layer), None, "psf_layer")
            origin |= {"layer": psf.layer}
            name, data = "psf" if voxel is None else "repaired", {"data": layer.data}
            repaired = self._variables.call(name, repair_psf, data, {}, "[0]", origin)
            return self._as_psf(repaired, voxel)
        origin |= {"path": psf.file}
        if voxel is None:
            image = self._read("psf_image", psf.file or "")
            data = {"data": Ref(image.name, ".data")}
            return self._variables.call("psf", repair_psf, data, {}, "[0]", origin)
        given = {} if voxel == "file" else {"spacing": voxel}
        return self._variables.call("psf", load_psf, {"path": psf.file}, given, "[0]", origin)

    def _as_psf(self, data: Ref, voxel: Any) -> Ref:
        """Give an array its voxel size; without one it stays an array."""
        if voxel in (None, "file"):
            return data
        given = {"data": data, "spacing": voxel}
        return self._variables.call("psf", Psf, given, origin=data)

    def _psf_of(self, recipe: Steps, engine: str, voxel: Any) -> Ref:
        """Plan a PSF that a recipe makes: its result, or the PSF of its deconvolution."""
        result, spacing = self._do(recipe, engine, main=False)
        if recipe.last == "deconvolution":
            return Ref(result.name, ".psf")
        if recipe.last is None and recipe.background is None:
            return result
        return self._as_psf(result, spacing if voxel == "file" else voxel)

    def _distilled(self, beads: BeadImage, engine: str, main: bool) -> Ref:
        image = self._source(beads, engine, main, "bead_image")
        arrays: dict[str, Any] = {"image": image}
        detection = beads.detection
        if detection is not None and detection.recipe is not None:
            arrays["beads"] = self._do(detection.recipe, engine, main=False)[0]
        elif detection is not None and detection.layer in self._arrays:
            arrays["beads"] = self._variables.bind(
                "beads", self._arrays[detection.layer or ""], {"layer": detection.layer}
            )
        elif detection is not None and (detection.path or detection.layer):
            path = detection.path or f"{detection.layer}.csv"
            origin = {"path": path} if detection.path else {"layer": detection.layer}
            given = {"path": path, "spacing": image.spacing}
            arrays["beads"] = self._variables.call("beads", Beads.from_csv, given, origin=origin)
        elif detection is not None:
            arrays["beads"] = self._compute(
                "beads", detect_beads, {"image": image}, detection, engine
            )
        return self._compute("psf", distill_psf, arrays, beads, engine, image.spacing)


def _spacing(options: Keys, image: _Field | None, default: Any) -> Any:
    """Find the voxel size a step gets: its own, else that of its image."""
    own = getattr(options, "spacing", None)
    if own == "pixels":
        return None
    if own not in (None, "file"):
        return _plain(own)
    if getattr(options, "method", None) in WITHOUT_SPACING:
        return None
    return default if image is None else image.spacing


def _plain(value: Any) -> Any:
    """Give an option as the function takes it."""
    if isinstance(value, Rules):
        return Rejection(**{name: _plain(rule) for name, rule in value})
    return tuple(value) if isinstance(value, list) else value

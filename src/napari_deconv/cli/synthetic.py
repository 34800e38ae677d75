"""The command that makes synthetic point-spread functions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from napari_deconv.cli.psf import save_psf
from napari_deconv.cli.shell import (
    ENGINE,
    OUTPUT,
    Command,
    Numbers,
    check_output,
    detail,
    micrometres,
    options,
    read_input,
    report,
)  # fmt: skip
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES
from napari_deconv.provenance import describe, made, record
from napari_deconv.psf.synthetic.modalities import MODALITIES
from napari_deconv.psf.synthetic.models import make_psf, takes
from napari_deconv.psf.synthetic.ome_optics import optics_from_file
from napari_deconv.psf.synthetic.presets import find_preset, fluorophores, objectives

__all__ = ["psf"]

_PATH = click.Path(path_type=Path)
_MODELS = (
    "vectorial", "gibson_lanni", "born_wolf", "gaussian", "lorentzian", "motion", "formula",
)  # fmt: skip

# Options of optics and modality: the parameter of make_psf, and what it is.
_NUMBERS = {
    "na": ("na", "Numerical aperture."),
    "wavelength": ("wavelength", "Emission wavelength in vacuum, µm."),
    "immersion": ("n_immersion", "Refractive index of the immersion medium. [default: 1.515]"),
    "sample": ("n_sample", "Refractive index of the specimen. [default: that of the immersion]"),
    "glass": ("n_glass", "Refractive index of the cover slip. [default: 1.515]"),
    "depth": ("depth", "Depth below the cover slip, µm. [default: 0]"),
    "glass-thickness": ("glass_thickness", "Thickness of the cover slip, µm. [default: 170]"),
    "glass-thickness-design": ("glass_thickness_design",
                               "Thickness that the objective is corrected for, µm."),
    "glass-design": ("n_glass_design", "Cover slip index that the objective is corrected for."),
    "immersion-design": ("n_immersion_design",
                         "Immersion index that the objective is corrected for."),
    "working-distance": ("working_distance", "Immersion layer that the objective is corrected "
                         "for, µm. [default: 150]"),
    "excitation": ("excitation", "Excitation wavelength in vacuum, µm; all but widefield."),
    "pinhole": ("pinhole", "Diameter in Airy units, or inf; confocal, spinning_disk and sted. "
                "[default: 1]"),
    "pinhole-radius": ("pinhole_radius", "The same in µm, back-projected."),
    "pinhole-distance": ("pinhole_distance", "Of neighbours on a spinning disk, back-projected, "
                         "µm. [default: 2.5]"),
    "illumination-na": ("illumination_na", "Aperture of the light sheet."),
    "depletion": ("depletion", "Wavelength of the STED doughnut, µm."),
    "saturation": ("saturation", "Exponent of depletion on its crest. [default: 20]"),
    "length": ("length", "Of a motion, µm."),
}  # fmt: skip


@dataclass
class _Assignment(click.ParamType[tuple[Any, float]]):
    """A name and a number, such as ``a=0.25``."""

    kind: Callable[[str], Any]
    name: str

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, float]:
        """Split at the equals sign."""
        if isinstance(value, tuple):
            return value
        name, _, number = value.partition("=")
        try:
            return self.kind(name.strip()), float(number)
        except ValueError:
            self.fail(f"{value!r} is not {self.name}.", param, ctx)


def _add_numbers(command: Any) -> Any:
    for option, (name, text) in reversed(_NUMBERS.items()):
        command = click.option(f"--{option}", name, type=float, help=text)(command)
    return command


def _list_presets(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value:
        return
    for name, objective in objectives().items():
        click.echo(f"{name:24} immersion {objective.n_immersion:g}, "
                   f"working distance {objective.working_distance:g} µm")  # fmt: skip
    for name, fluorophore in fluorophores().items():
        click.echo(f"{name:24} {fluorophore.excitation:g} → {fluorophore.emission:g} nm")
    ctx.exit()


@click.command(
    cls=Command,
    examples=[
        "napari-deconv psf vectorial --na 1.4 --immersion 1.515 --wavelength 0.52 \\",
        "    --spacing 0.2,0.08,0.08 --shape 65,129,129 -o psf.ome.tif",
        "napari-deconv psf vectorial --objective '60x 1.4 oil' --fluorophore GFP \\",
        "    --modality confocal --pinhole 1 -s 0.15,0.05,0.05 --shape 41,65,65 -o psf.ome.tif",
        "napari-deconv psf vectorial --image cells.ome.tif --shape 31,129,129 -o psf.ome.tif",
        "napari-deconv psf vectorial --na 1.4 --wavelength 0.52 --zernike 12=0.05 \\",
        "    --spacing 0.2,0.08,0.08 --shape 41,129,129 -o psf.ome.tif",
        "napari-deconv psf gaussian --fwhm 0.5,0.2,0.2 --spacing 0.1,0.05,0.05 \\",
        "    --shape 31,31,31 -o psf.ome.tif",
        "napari-deconv psf formula --formula '2**(-(x**2+y**2)/(a/2)**2)' --param a=0.25 \\",
        "    --spacing 0.05 --shape 31,31 -o psf.ome.tif",
        "napari-deconv psf motion --length 1.5 --angle 30 -s 0.1 --shape 25,25 -o psf.ome.tif",
    ],
)
@click.argument("model", type=click.Choice(_MODELS))
@options(
    OUTPUT,
    click.option("--shape", type=Numbers("z,y,x", int), required=True, help="Voxels."),
    click.option("-s", "--spacing", type=Numbers("z,y,x"), help="Voxel size in µm."),
    click.option("--image", type=_PATH,
                 help="Take voxel size and optics from this file, as far as it states them."),
    click.option("--objective", help="Take aperture and immersion from this preset."),
    click.option("--fluorophore", help="Take the wavelengths from this preset."),
    click.option("--presets", type=_PATH, help="File with more presets."),
    click.option("--list-presets", is_flag=True, is_eager=True, expose_value=False,
                 callback=_list_presets, help="List the presets."),
    click.option("--modality", type=click.Choice(list(MODALITIES)),
                 help="Kind of microscope. [default: widefield]"),
    _add_numbers,
    click.option("--sheet", type=click.Choice(["gaussian", "scanned"]),
                 help="Kind of light sheet. [default: gaussian]"),
    click.option("--zernike", type=_Assignment(int, "INDEX=µm"), multiple=True,
                 help="Aberration by OSA/ANSI index, µm rms; can be repeated."),
    click.option("--fwhm", type=Numbers("z,y,x"), help="Of gaussian and lorentzian, µm."),
    click.option("--angle", type=Numbers("xy,z"),
                 help="Of a motion in degrees, from x to y, and towards z. [default: 0]"),
    click.option("--formula", help="Of x, y, z in µm, and of the names that --param gives."),
    click.option("--param", "parameters", type=_Assignment(str, "NAME=VALUE"), multiple=True,
                 help="Value of a name in the formula; can be repeated."),
    click.option("--centre", type=click.Choice(["best_focus", "paraxial", "none"]),
                 default="best_focus", show_default=True, help="What the middle plane shows."),
    click.option("--flip-z", is_flag=True, help="Let z run towards the cover slip."),
    click.option("--pixel-integration/--no-pixel-integration", default=None,
                 help="Integrate over the pixels, or sample their centres. [default: integrate, "
                 "unless a beam scans]"),
    ENGINE,
)  # fmt: skip
def psf(
    model: str,
    output: Path,
    spacing: tuple[float, ...] | None,
    shape: tuple[int, ...],
    image: Path | None,
    objective: str | None,
    fluorophore: str | None,
    presets: Path | None,
    modality: str | None,
    **given: Any,
) -> None:
    """Make a synthetic PSF from MODEL."""
    check_output(output, [], IMAGE_SUFFIXES)
    stated: dict[str, Any] = {}
    if image is not None:
        source = read_input(image, spacing)
        spacing = source.spacing and source.spacing[-len(shape) :]
        stated = source.metadata.get("optics", {}) | optics_from_file(image)
    if spacing is None:
        raise DeconvError("The voxel size is missing: give --spacing z,y,x in µm.")
    if objective is not None:
        stated |= find_preset(objectives(presets), objective, "objective").parameters
    kind = modality or stated.get("modality", "widefield")
    if fluorophore is not None:
        peaks = find_preset(fluorophores(presets), fluorophore, "fluorophore").parameters
        if kind == "two_photon":  # the peak is that of one photon
            del peaks["excitation"]
        stated |= peaks
    if given["pinhole"] is not None:
        stated.pop("pinhole_radius", None)
    known = takes(model, kind)
    taken = {name: value for name, value in stated.items() if name in known}
    if "na" in known:
        modality = kind
    detail(f"Taken over: {taken}")
    parameters: dict[str, Any] = {
        "model": model, "shape": shape, "spacing": spacing,
        **taken, **_as_parameters(given | {"modality": modality}),
    }  # fmt: skip
    device, start = get_engine(parameters.pop("engine")), time.perf_counter()
    computed = make_psf(engine=device, **parameters)
    how = made(time.perf_counter() - start, device)
    done = computed.metadata | record(describe("make_psf", parameters, device), {}, how)
    save_psf(replace(computed, metadata=done), output)
    if "nyquist_step" in done:
        report(f"The optics need voxels of {micrometres(done['nyquist_step'], 3)} or less.")


def _as_parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Give what was given as `make_psf` takes it."""
    parameters = {name: value for name, value in given.items() if value not in (None, ())}
    for name in {"zernike", "parameters"} & parameters.keys():
        parameters[name] = dict(parameters[name])
    if len(parameters.get("angle", ())) == 1:
        parameters["angle"] = parameters["angle"][0]
    return parameters

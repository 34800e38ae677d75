"""Dock widget: deconvolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QPushButton, QWidget

from napari_deconv.deconvolution import METHODS, Deconvolution
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import (
    PsfVoxelSize,
    VoxelSize,
    check,
    choice,
    entry,
    given_spacing,
    layer_choice,
    read_number,
)
from napari_deconv.widgets.common.inputs import Inputs
from napari_deconv.widgets.common.large import check_fits, is_large, most_voxels
from napari_deconv.widgets.common.layers import made_here
from napari_deconv.widgets.common.parts import Part, psf_for, seen, whole
from napari_deconv.widgets.common.preview import LayerData, Preview
from napari_deconv.widgets.common.results import Limits, contrast, contrasted
from napari_deconv.widgets.common.words import in_fields_words
from napari_deconv.widgets.deconvolution.course import Course, how_often
from napari_deconv.widgets.deconvolution.disk import Written
from napari_deconv.widgets.deconvolution.estimate import Estimate
from napari_deconv.widgets.deconvolution.going_on import GoOn
from napari_deconv.widgets.deconvolution.in_view import InView
from napari_deconv.widgets.deconvolution.method import MethodFields
from napari_deconv.widgets.deconvolution.to_disk import DiskButton
from napari_deconv.widgets.deconvolution.words import found_in, line_of, name_of, short_name
from napari_deconv.widgets.deconvolution.work import deconvolve_part, planes_of, with_contrast

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["DeconvolutionWidget"]

_BOUNDARIES = [
    ("Unknown light", "padded"),
    ("Unknown light, half margins", "half_padded"),
    ("Mirror image", "reflect"),
    ("Nothing", "zero"),
    ("Other end (periodic)", "circular"),
]


class DeconvolutionWidget(OperationWidget):
    """Take the blur of the PSF out of an image."""

    title = "Deconvolution"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            napari_viewer,
            "Image",
            "What is deblurred: the recorded data, without background subtraction.",
        )
        self.psf = layer_choice(
            napari_viewer, "PSF",
            "How the microscope shows a point. Another voxel size is resampled. A file can be "
            "dropped here.",
        )  # fmt: skip
        self.psf_voxel_size = PsfVoxelSize()
        self.settings = MethodFields()
        self.background = choice(
            "Background",
            [("Automatic", "auto"), ("Value", "value"), ("None", 0.0)],
            "Light that does not come from the object. Too little leaves haze, too much eats dim "
            "parts away. Automatic takes the 1st percentile.",
        )
        self.background_value = entry(
            "Value (grey)", "100", "What a dark part of the picture shows."
        )
        self.region = choice(
            "Region",
            [("In view", "view"), ("All", "all")],
            "The image is read piece by piece, or hardly fits into memory. In view takes the field "
            "that is seen, and as many planes on either side as the PSF has. All is what fits into "
            "memory; for more, run all to disk.",
        )
        self.disk_button = DiskButton()
        self._make_more()
        self._last: Deconvolution | None = None
        self._one_volume = True
        self._estimate = Estimate(napari_viewer, self._adding)
        self.preview = Preview(napari_viewer, self._prepare_preview, self._present)
        main = [self.image, self.region, self.voxel_size.field, self.voxel_size.note]
        main += [
            self.psf,
            self.psf_voxel_size.field,
            self.psf_voxel_size.note,
            *self.settings.main,
            self.background,
            self.background_value,
        ]
        more = [*self.settings.more, self.boundary, self.leave_out, self.centre_psf]
        self._build(main, more)
        self._add_course()
        self._add_disk()

    def _make_more(self) -> None:
        self.boundary = choice(
            "Outside",
            _BOUNDARIES,
            "What lies outside the image. Unknown light is estimated too, so that objects cut by "
            "the border leave no stripes.",
        )
        self.leave_out = layer_choice(
            self._viewer,
            "Leave out",
            "Labels painted over dead or saturated voxels: they do not count.",
            Labels,
            none="nothing",
        )
        self.centre_psf = check(
            "Centre the PSF", True, "Else an off-centre PSF moves the object by as much."
        )

    def _add_course(self) -> None:
        """Make room for what is seen of a run, and buttons to end it early and to go on."""
        self.course = Course()
        self.course.stepped.connect(self._step_to)
        self.layout().insertWidget(self.layout().indexOf(self.outcome), self.course)
        self.keep_button = QPushButton("Stop and keep")
        self.keep_button.setToolTip("End the run now; what it has reached is the result.")
        self.keep_button.setVisible(False)
        self.keep_button.clicked.connect(self._keep)
        self.going_on = GoOn()
        self.going_on.setVisible(False)
        self.going_on.asked.connect(self._go_on)
        self._buttons.addWidget(self.keep_button)
        self._buttons.addWidget(self.going_on)

    def _add_disk(self) -> None:
        self.disk_button.clicked.connect(lambda: self._run(self._prepare_disk))
        self.disk_button.told.connect(self.result_line.setText)
        self._buttons.insertWidget(1, self.disk_button)
        QWidget.setTabOrder(self.run_button, self.disk_button)

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {
            self.image: ("image",),
            self.psf: ("psf", "true psf"),
            self.leave_out: ("mask",),
        }

    def _voxel_sizes(self) -> dict[ComboBox, VoxelSize]:
        return super()._voxel_sizes() | {self.psf: self.psf_voxel_size}

    def _input_layers(self) -> dict[str, Layer | None]:
        mask = self.leave_out.value if self._applies()[self.leave_out] else None
        return {"image": self.image.value, "psf": self.psf.value, "mask": mask}

    def _typed_for_psf(self) -> tuple[float, ...] | None:
        return given_spacing(self.psf.value)

    def _applies(self) -> dict[ValueWidget, bool]:
        applies = self.settings.applies() | self.psf_voxel_size.applies(self.psf.value)
        return applies | {
            self.region: self._is_large(),
            self.background_value: self.background.value == "value",
            self.leave_out: "mask" in self.settings.kind.takes,
        }

    def _parameters(self) -> dict[str, ValueWidget]:
        own = {"background": self.background_value, "mask": self.leave_out}
        return super()._parameters() | self.settings.named() | own

    def _lasting(self) -> dict[str, ValueWidget]:
        lasting = super()._lasting() | {"background": self.background}
        return {name: field for name, field in lasting.items() if field is not self.region}

    def _is_large(self) -> bool:
        return self.image.value is not None and is_large(self.image.value)

    # -- running ---------------------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        source, psf = self._images()
        given = self._given(source, psf)
        if self._is_large() and self.region.value == "view":
            depth = planes_of(psf, given) - 1
            self._taken = source = seen(self._viewer, source, depth, most_voxels())
            given = self._given(source, psf)
            if given["background"] == "auto" and not source.is_whole:
                given["background"] = source  # as of a run of all to the disk
        else:
            check_fits(source)
        self.disk_button.path = None
        if "keep_every" in self.settings.kind.takes:
            given["keep_every"] = how_often(given["iterations"], int(np.prod(source.shape)))
        self._job = partial(deconvolve_part, source, psf, **given)
        self._one_volume = source.ndim == psf.ndim
        self._method = self.settings.method.value
        self._last = None
        self._done = self._field_values()
        self._of_region = "" if source.is_whole else f"Of the region in view, {source.extent}. "
        self._estimate.begin(source)
        return partial(with_contrast, self._job)

    def _prepare_disk(self) -> Callable[..., Any] | None:
        source, psf = self._images()
        inputs = Inputs(self._input_layers(), source, self._typed_for_psf())
        job = self.disk_button.prepare(source, psf, inputs, self._given(source, psf))
        if job is not None:
            self._last, self._one_volume = None, False
        return job

    def _images(self) -> tuple[Part, Part]:
        """Take the image and the PSF."""
        source = self._part("image")
        return source, psf_for(source, self.psf.value)

    def _given(self, source: Part, psf: Part) -> dict[str, Any]:
        """Read what `deconvolve_part` is called with."""
        given = self.settings.parameters()
        given |= {"boundary": self.boundary.value, "centre_psf": self.centre_psf.value}
        given |= {"engine": self.device.value, "background": self.background.value}
        if self.background.value == "value":
            given["background"] = read_number(self.background_value.value)
        if self._applies()[self.leave_out] and self.leave_out.value is not None:
            given["leave_out"] = whole(self.leave_out.value, "mask").where(source)
        given["psf_spacing"] = self.psf_voxel_size.of(psf)
        given["own_psf"] = made_here(psf.layer)
        return given | {"spacing": self._voxel(source)[-psf.ndim :]}

    def _field_values(self) -> list[Any]:
        """Collect what all fields but the iterations say."""
        apart = (self.settings.iterations, self.psf_voxel_size.note, self.voxel_size.note)
        return [field.value for field in self._rows if field not in apart]

    def _arrange(self) -> None:
        """Show what applies, and the buttons that can be used now."""
        super()._arrange()
        label = "Most iterations" if self.settings.iterations_are_a_limit else "Iterations"
        self._rows[self.settings.iterations].setText(label)
        self.disk_button.setVisible(self._worker is None and self._is_large())
        if self._last is not None:
            self._offer_going_on()

    def _offer_going_on(self) -> None:
        """Offer to go on from the last estimate while the fields are those of the last run."""
        last, idle = self._last, self._worker is None
        ready = idle and last is not None and self.course.iteration == last.iterations
        self.going_on.setVisible(ready and self._field_values() == self._done)

    def _stop(self) -> str | None:
        """Name the rule that ends the run, if there is one."""
        going_on = self._last is not None
        takes = "stop" in self.settings.kind.takes
        return None if going_on or not takes else self.settings.stop.value

    def _go_on(self, iterations: int) -> None:
        """Do more iterations, whatever has stopped the last ones.

        What consensus has judged was made of a part of the photons: there is nothing to go on from,
        and all is done again with all of them.
        """
        all_of_them = {"iterations": self._last.iterations + iterations, "stop": None}
        if self._last.recipe["parameters"]["stop"] == "consensus":
            self._run(lambda: self._again(**all_of_them))
        else:
            level = self._last.recipe["parameters"]["background"]
            more = {"iterations": iterations, "stop": None}
            more |= {"initial": self._last, "background": level}
            before = self._record
            self._run(lambda: self._again(**more))
            self._inputs.origins["initial"] = before
            self.course.resume()
        # Run again, it does at once what was done in two runs.
        self._prepared_by = self._prepare
        self._settings = self._remembered(
            {field: field.value for field in self._rows}
            | {getattr(self.settings, name): value for name, value in all_of_them.items()}
        )

    def _run_title(self, parameters: Mapping[str, Any]) -> str:
        if "initial" in self._inputs.origins:
            parameters = {**parameters, "iterations": self._last.iterations}
        return super()._run_title(parameters)

    def _again(self, **more: Any) -> Callable[..., Any]:
        """Give the last run with other parameters, of what it took: a preview may take another."""
        self._taken = self._job.args[0]
        return partial(with_contrast, partial(self._job, **more))

    def _keep(self) -> None:
        self._worker.keep()
        self.keep_button.setEnabled(False)
        self.result_line.setText("Stopping after this iteration …")

    def _run(self, prepare: Callable[[], Callable[..., Any] | None]) -> None:
        super()._run(prepare)
        if self._worker is not None:
            self.course.begin(self._stop())
            self.keep_button.setVisible(self._picture() is not None)
            self.keep_button.setEnabled(True)
            self.going_on.setVisible(False)
            self.disk_button.setVisible(False)

    def _aborted(self) -> None:
        super()._aborted()
        self.result_line.setText(f"Cancelled. {self.disk_button.describe_cancelled()}".strip())

    def _finished(self) -> None:
        super()._finished()
        self.keep_button.setVisible(False)
        self._estimate.take_back()
        self._arrange()

    # -- what is seen of it ----------------------------------------------------------------------
    def _picture(self) -> Callable[[Any], Any] | None:
        return contrasted if self._one_volume and not self.settings.kind.direct else None

    def _measured(self, row: dict[str, float]) -> None:
        self.course.add(row)

    def _pictured(self, picture: tuple[Any, Limits], iteration: int) -> None:
        if not self._worker.abort_requested:
            image, limits = picture
            self._estimate.picture(image, limits, f"{short_name(self._method)} {iteration}")

    def _show(
        self, result: tuple[Deconvolution, Limits] | Written
    ) -> tuple[str, Mapping[str, Any]]:
        if isinstance(result, Written):
            return self._show_written(result)
        return self._show_estimate(*result)

    def _show_estimate(
        self, result: Deconvolution, limits: Limits
    ) -> tuple[str, Mapping[str, Any]]:
        call = result.recipe
        name = call["parameters"]["method"]
        method = METHODS[name]
        kept = {"keep_every": None}  # for the slider only
        call = call | {"parameters": call["parameters"] | kept}
        metadata = self._metadata(call, "result", result.stop_reason, **found_in(result))
        name = name_of(result, result.iterations)
        self._estimate.show(result.image, limits, name, metadata)
        if "symmetric_psf" in method.takes and isinstance(result.psf, Psf):
            # Not the PSF of the next run, which would start from what noise made of this one.
            found = self._metadata(call, "found psf", result.stop_reason)
            image = self._inputs.layers["image"]
            self._adding.psf(result.psf, "PSF (blind)", found, image)
        self._last = None if method.direct else result
        given = call["parameters"]
        by_rule = given["stop"] is not None and result.iterations < given["iterations"]
        self._turns.add(partial(self.course.end, result, by_rule))
        return f"{self._of_region}{line_of(result)}", call

    def _show_written(self, written: Written) -> tuple[str, Mapping[str, Any]]:
        self._record = written.record
        self._adding.layer(written.layer())
        return in_fields_words(written.describe(), self._parameters()), written.record

    def _step_to(self, iteration: int) -> None:
        """Show an estimate that was kept on the way; its recipe does so many iterations."""
        last = self._last
        parameters = last.recipe["parameters"]
        going_on = "initial" in self._inputs.origins
        before = last.iterations - parameters["iterations"] if going_on else 0
        image, changed = last.image, {"keep_every": None}
        if iteration != last.iterations:
            image = last.intermediate[iteration]
            changed["iterations"] = iteration - before
        call = last.recipe | {"parameters": parameters | changed}
        reason = f"stepped to iteration {iteration}"
        metadata = self._metadata(call, "result", reason, **found_in(last))
        name = f"{short_name(parameters['method'])} {iteration}"
        self._estimate.show(image, contrast(image, 0), name, metadata)
        self.outcome.take(self._record)
        self._offer_going_on()

    # -- preview ---------------------------------------------------------------------------------
    def _prepare_preview(self) -> Callable[..., Any] | None:
        if self.image.value is None or self.psf.value is None:
            return None
        source, psf = self._images()
        self._in_view = InView(self._viewer, source, psf, self._given(source, psf))
        self.preview.hint = f"Of {self._in_view.extent} about the middle of the view."
        return self._in_view.job

    def _present(self, result: Any) -> list[LayerData]:
        return [self._in_view.layer(result, short_name(self.settings.method.value))]

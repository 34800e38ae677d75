"""Run the benchmark: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import click
import psutil

from benchmarks import gpu, iteration
from benchmarks.contenders import CONTENDERS, REFERENCE
from benchmarks.machine import describe_machine, versions
from benchmarks.measure import in_own_process
from benchmarks.report import Results, contenders_table, gpu_table, ratio_table, save, write
from benchmarks.specimen import make_specimen
from napari_deconv import DeconvWarning

_BUDGET, _FULL_BUDGET = 30.0, 900.0
_BUSY = 0.5


@click.command()
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("benchmarks/results"),
    help="Folder for the page, its plot and all numbers as JSON.",
)  # fmt: skip
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
@click.option("--full", is_flag=True, help="Let slow contenders run to the end: about an hour.")
def main(output: Path, docs: Path | None, full: bool) -> None:
    """Compare our solvers with other software: one table, one plot."""
    warnings.simplefilter("ignore", DeconvWarning)
    if psutil.getloadavg()[0] > _BUSY:
        click.echo("The machine is busy: no time below will be right.", err=True)
    results = compare(_FULL_BUDGET if full else _BUDGET)
    results.ratios = [
        iteration.against_transforms((64, 256, 256), (n, n, n)) for n in (63, 127)
    ]  # fmt: skip
    click.echo("\n" + ratio_table(results.ratios))
    results.growth = [iteration.growth(shape) for shape in iteration.GROWTH_SHAPES]
    results.gpu = [
        gpu.measure_device(device, shape) for device in gpu.gpus() for shape in gpu.GPU_SHAPES
    ]  # fmt: skip
    click.echo("\n" + gpu_table(results.gpu))
    save(results, output / "benchmarks.json")
    write(results, output / "benchmarks.md", output / "benchmarks.png")
    if docs is not None:
        write(results, docs / "benchmarks.md", docs / "images" / "benchmarks.png")


def compare(budget: float) -> Results:
    """Measure all contenders, the reference first: it sets what the others have to reach."""
    specimen = make_specimen()
    results = Results(
        describe_machine(), versions(), specimen.image.shape, specimen.psf.shape, budget
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "specimen.npz"
        specimen.save(path)
        target = in_own_process(REFERENCE.name, path, None, budget).correlations
        for contender in CONTENDERS:
            click.echo(contender.name, err=True)
            results.measurements.append(in_own_process(contender.name, path, target, budget))
    click.echo(contenders_table(results))
    return results


if __name__ == "__main__":
    main()

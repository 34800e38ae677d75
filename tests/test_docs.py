"""What README.md and docs/ say is true: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import unicodedata
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from magicgui.widgets import CheckBox, Label
from qtpy.QtWidgets import QAbstractButton

import napari_deconv
from napari_deconv import Recipe, background, beads, deconvolution, demo, sample_data
from napari_deconv.cli import main
from napari_deconv.files import provenance_of, read_image, write_image
from napari_deconv.psf import distill
from napari_deconv.psf.synthetic import models

ROOT = Path(__file__).parents[1]
PAGES = {page.name: page.read_text() for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]}

# Commands of other programs.
OTHERS = {"cd", "make", "napari", "pip"}


def blocks(page: str, language: str) -> list[str]:
    fence = re.compile(rf"^( *)```{language}\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    return [dedent(block) for _, block in fence.findall(PAGES[page])]


def pages_with(language: str) -> list[str]:
    return [page for page in PAGES if blocks(page, language)]


def write_recipes(page: str) -> None:
    """Write the recipes of a page to the files that their first lines name."""
    for block in blocks(page, "yaml"):
        Path(block.splitlines()[0].removeprefix("# ")).write_text(block)


def correlation(image, truth) -> float:
    return np.corrcoef(np.ravel(image), np.ravel(truth))[0, 1]


@pytest.fixture
def small_world(monkeypatch, tmp_path):
    """Small samples, and a folder to work in with an image in the folder ``images``."""
    monkeypatch.chdir(tmp_path)
    shape = (24, 128, 128)
    small = partial(demo.run_demo, shape=shape, psf_shape=(17, 41, 41), iterations=5)
    monkeypatch.setattr(demo, "run_demo", small)
    for name in ("beads_widefield", "cells_widefield"):
        monkeypatch.setattr(sample_data, name, partial(getattr(sample_data, name), shape))
    Path("images").mkdir()
    cells = sample_data.cells_widefield()
    write_image("images/cells.tif", cells.image, cells.spacing)


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_blocks_run(page, small_world):
    names = {}
    write_recipes(page)
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    if isinstance(names.get("report"), napari_deconv.Report):
        assert names["report"].findings == ()
    if Path("results").exists():
        assert read_image("results/cells.ome.tif").spacing == (0.2, 0.08, 0.08)
    if "result" in names:
        assert np.all(np.isfinite(names["result"].image))
    if "specimen" in names:
        image, truth = names["specimen"].image, names["specimen"].truth
        assert correlation(names["result"].image, truth) > correlation(image, truth) + 0.05
        assert napari_deconv.Psf.load("psf.ome.tif").spacing == names["specimen"].spacing


@pytest.mark.parametrize("page", pages_with("sh"))
def test_shell_blocks_run(page, small_world, monkeypatch):
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    for program, *arguments in filter(None, (shlex.split(line, comments=True) for line in lines)):
        if program == "cd":
            images = Path("images").resolve()
            monkeypatch.chdir(*arguments)
            Path("images").symlink_to(images)
            write_recipes(page)
        elif program == "napari-deconv":
            outcome = CliRunner().invoke(main, arguments)
            assert outcome.exit_code == 0, f"{arguments}: {outcome.output}"
        else:
            assert program in OTHERS
        for written in [after for flag, after in pairwise(arguments) if flag == "-o"]:
            assert written.endswith(".csv") or read_image(written).spacing == (0.2, 0.08, 0.08)
    if page == "scripting.md":
        again = Recipe.of(provenance_of("deconvolved.ome.tif")).to_dict()
        assert again["deconvolution"] == Recipe.load("recipe.yaml").to_dict()["deconvolution"]


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {slugify(heading) for heading in headings}


def slugify(heading: str) -> str:
    """Name a heading as mkdocs does."""
    letters = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", letters).strip().lower())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = ROOT if page == "README.md" else ROOT / "docs"
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGES[page]):
        if target.startswith("https://") or target.endswith(".png"):
            assert target.startswith("https://") or (folder / target).exists(), target
        elif anchor:
            assert anchor in anchors(Path(target).name or page), f"{target}#{anchor}"
        else:
            assert (folder / target).exists(), target


def test_every_picture_is_shown():
    shown = {
        Path(name).name for page in PAGES.values() for name in re.findall(r"[\w/-]+\.png", page)
    }
    assert {path.name for path in ROOT.glob("docs/images/*.png")} <= shown


def test_pictures_are_small():
    sizes = {path.name: path.stat().st_size for path in ROOT.glob("docs/images/*")}
    assert {name: size for name, size in sizes.items() if size > 200_000} == {}


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    assert [page for page in PAGES if page != "README.md" and f"- {page}" not in nav] == []


def test_api_page_has_every_public_name():
    names = re.findall(r"^::: napari_deconv\.(\w+)$", PAGES["api.md"], re.MULTILINE)
    assert [name for name in napari_deconv.__all__ if name not in [*names, "__version__"]] == []


@pytest.mark.parametrize(
    "choices",
    [
        background.METHODS,
        beads.METHODS,
        deconvolution.BOUNDARIES,
        deconvolution.METHODS,
        distill.DISTILLING,
        models.Model.__args__,
        ("heavy_ball", "biggs", "tv"),
        [rule.name for rule in fields(beads.Rejection) if rule.type == "bool"],
    ],
)
def test_methods_page_describes_every_choice(choices):
    assert [choice for choice in choices if f'"{choice}"' not in PAGES["methods.md"]] == []


def test_methods_page_lists_every_paper_it_cites():
    text, _, references = PAGES["methods.md"].partition("## References")
    cited = re.findall(r"([A-Z][\w–-]+)[^;():]*? ((?:19|20)\d\d)[);]", text)
    assert len(cited) > 35
    lines = references.splitlines()
    assert [c for c in cited if not any(all(part in line for part in c) for line in lines)] == []


def test_widgets_page_has_every_widget_and_setting():
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text())["contributions"]
    titles = [widget["display_name"] for widget in manifest["widgets"]]
    assert [title for title in titles if f"\n## {title}\n" not in PAGES["widgets.md"]] == []
    settings = [
        p["title"] for c in manifest["configurations"].values() for p in c["properties"].values()
    ]
    preferences = PAGES["widgets.md"].partition("## Preferences")[2]
    assert [s for s in settings if f"**{s.partition(' (')[0]}**" not in preferences] == []


@pytest.mark.gui
def test_widgets_page_has_every_field_and_button(make_napari_viewer):
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text())["contributions"]
    page = " ".join(PAGES["widgets.md"].split())
    common = page.partition(" ## Background subtraction ")[0]
    viewer, missing = make_napari_viewer(), []
    for title in [widget["display_name"] for widget in manifest["widgets"]]:
        _, widget = viewer.window.add_plugin_dock_widget("napari-deconv", title)
        section = common + page.partition(f" ## {title} ")[2].partition(" ## ")[0]
        texts = [field.label for field in widget._rows if not isinstance(field, CheckBox | Label)]
        texts += [button.text() for button in widget.findChildren(QAbstractButton)]
        words = {re.sub(r"^([▸⇄] |Reject )|…$| \(.*\)$", "", text) for text in texts}
        missing += [(title, word) for word in words if word not in section]
        viewer.window.remove_dock_widget(widget)
    assert missing == []

"""What README.md and docs/ say is true: their code runs, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_deconv import background, beads, deconvolution, sample_data
from napari_deconv.cli import main
from napari_deconv.psf import distill

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]

# Commands for the user's own shell, which are not ours to run.
_NOT_OURS = ("cd", "git", "make", "napari", "pip", "sudo")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages."""
    fence = re.compile(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return fence.findall(page.read_text())


def commands(page: Path) -> list[list[str]]:
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]

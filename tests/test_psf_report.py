"""The report about a PSF: its numbers, words and files."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_deconv import sample_data
from napari_deconv.beads import detect_beads
from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.errors import DeconvError
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import REPORT_SUFFIXES, make_report
from napari_deconv.psf.report import page as report_page
from napari_deconv.psf.synthetic.models import make_psf

SPACING = (0.15, 0.06, 0.06)
SHAPE = (31, 41, 41)
OPTICS = {"na": 1.2, "wavelength": 0.52, "n_immersion": 1.33, "n_glass": 1.33}
NOTES = {"microscope": "Wide & <far>", "objective": '60×/1.2 "W"', "recorded": "2026-11-01"}

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")


def bell(fwhm, spacing=SPACING, shape=SHAPE, tilt=0.0):
    """A Gaussian, its axis leaning along x."""
    grid = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    *z, y, x = (n * step for n, step in zip(grid, spacing, strict=True))
    if z:
        x = x - tilt * z[0]
    squares = [(u / w) ** 2 for u, w in zip((*z, y, x), fwhm, strict=True)]
    return Psf(2.0 ** -(4 * sum(squares)), spacing)


def ghost():
    """A Gaussian with another beside it, along y."""
    single = bell((0.7, 0.3, 0.3)).data
    return Psf(single + 0.4 * np.roll(single, 8, axis=1), SPACING)


@pytest.fixture(scope="module")
def theory():
    import warnings

    with warnings.catch_warnings(action="ignore"):
        return make_psf("vectorial", shape=SHAPE, spacing=SPACING, engine="cpu", **OPTICS)


@pytest.fixture(scope="module")
def statistics():
    """Statistics of simulated beads, and the PSF that made them."""
    sample = sample_data.beads_widefield((24, 128, 128), engine="cpu")
    beads = detect_beads(sample.image, spacing=sample.spacing, bead_diameter=0.1, engine="cpu")
    return bead_statistics(beads, sample.image, sample.psf, bead_diameter=0.1), sample.psf


# -- numbers -------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_measure_psf(theory):
    psf = bell((0.9, 0.3, 0.32))
    report = make_report(psf, theory=theory, notes=NOTES)
    measured, expected = measure_psf(psf), measure_psf(theory)
    assert report.measured == measured
    assert report.expected == expected
    rows = {(row.name, row.axis): row for row in report.rows}
    for number, axis in enumerate("zyx"):
        row = rows["fwhm", axis]
        assert (row.value, row.theory, row.unit) == (
            measured.fwhm[number], expected.fwhm[number], "µm"
        )  # fmt: skip
        assert row.ratio == pytest.approx(measured.fwhm[number] / expected.fwhm[number])
    assert rows["r_squared", "z"].ratio is None
    assert [axis for name, axis in rows if name == "tilt"] == ["y", "x"]
    plain = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert plain == report.to_dict()
    assert {name: plain[name] for name in measured.to_dict()} == measured.to_dict()
    assert plain["theory"]["ratio"]["fwhm"] == [rows["fwhm", axis].ratio for axis in "zyx"]
    assert plain["notes"] == NOTES


def test_theory_from_optics_is_the_vectorial_one(theory):
    report = make_report(bell((0.9, 0.3, 0.32)), theory=OPTICS)
    np.testing.assert_allclose(report.theory.data, theory.data, atol=1e-6 * theory.data.max())
    low = make_report(
        bell((2.0, 0.6, 0.6), (0.4, 0.15, 0.15)), theory={"na": 0.5, "wavelength": 0.5}
    )
    assert low.theory.metadata["model"] == "gibson_lanni"


def test_beads_are_in_it(statistics):
    found, psf = statistics
    report = make_report(psf, statistics=found, theory=psf)
    rows = {(row.name, row.axis): row for row in report.rows}
    assert [rows["fwhm", axis].sd for axis in "zyx"] == list(found.fwhm_sd)
    assert [rows["bead_fwhm", axis].value for axis in "zyx"] == list(found.fwhm_mean)
    assert rows["residual", ""].value == found.residual_rms
    assert report.to_dict()["beads"] == found.to_dict()
    assert report.findings == ()


def test_a_plane():
    report = make_report(bell((0.3, 0.32), SPACING[1:], (41, 41)))
    assert {row.axis for row in report.rows} == {"", "y", "x"}
    assert {row.name for row in report.rows}.isdisjoint({"tilt", "focal_shift"})


# -- words ---------------------------------------------------------------------------------------


def test_a_good_psf_is_not_complained_about(theory):
    assert make_report(theory, theory=theory).findings == ()


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ((1.34, 1, 1), ["FWHM z is 34% above theory: spherical aberration or wrong index?"]),
        ((0.8, 1, 1), ["FWHM z is 20% below theory, which no lens is: wrong voxel size, "
                       "wavelength or numerical aperture?"]),
        ((1, 1.15, 1.15), ["FWHM y is 15% above theory: large beads, a pupil that is not filled, "
                           "or aberrations?",
                           "FWHM x is 15% above theory: large beads, a pupil that is not filled, "
                           "or aberrations?"]),
        ((1, 2.5, 2.5), ["The FWHM is far from theory (z 1 ×, y 2.5 ×, x 2.5 ×): check the voxel "
                         "size, the wavelength and the numerical aperture."]),
    ],
)  # fmt: skip
def test_differences_from_theory_are_said(factors, expected):
    widths = np.array((0.7, 0.3, 0.3))
    report = make_report(bell(widths * factors), theory=bell(widths))
    assert list(report.findings) == expected
    assert make_report(bell(widths * factors), theory=bell(widths), tolerance=2).findings == tuple(
        finding for finding in expected if "far from" in finding
    )


@pytest.mark.parametrize(
    ("psf", "words"),
    [
        (bell((0.7, 0.3, 0.36)), "x is 20% wider than y: astigmatism"),
        (bell((0.7, 0.36, 0.3)), "y is 20% wider than x: astigmatism"),
        (bell((0.7, 0.3, 0.3), tilt=0.18), "The axis is tilted by 10°"),
        (bell((0.7, 0.11, 0.11)), "FWHM y is 1.8 voxels: too few"),
        (ghost(), "along y badly (R² 0."),
    ],
)  # fmt: skip
def test_its_shape_is_judged(psf, words):
    assert any(words in finding for finding in make_report(psf).findings), words


def test_coarse_voxels_are_said():
    optics = {"na": 0.8, "wavelength": 0.52, "n_immersion": 1.0}
    psf = bell((1.2, 0.36, 0.36), (0.3, 0.17, 0.17))
    assert make_report(psf, theory=optics).findings == (
        "The voxels are 0.3 × 0.17 × 0.17 µm; these optics resolve details that need "
        "0.65 × 0.162 × 0.162 µm or smaller.",
    )


def test_an_image_of_beads_is_no_psf():
    single = bell((0.7, 0.3, 0.3)).data
    beads = Psf(single + 0.6 * np.roll(single, 16, axis=2), SPACING)
    assert make_report(beads).findings[0].startswith("There is a second peak, more than half as")


def test_stray_light_is_said_only_in_windows_of_one_size(theory):
    hazy = Psf(theory.data + 1 / theory.data.size, SPACING)
    findings = make_report(hazy, theory=theory).findings
    assert [text for text in findings if "stray light" in text]
    cropped = Psf(theory.data[2:-2], SPACING)
    assert not [text for text in make_report(hazy, theory=cropped).findings if "stray" in text]


def test_beads_are_judged(statistics):
    found, psf = statistics
    few = replace(
        found, counts={"accepted": 1, "edge": 7}, residual_rms=2.34,
        fwhm_sd=(0.2 * found.fwhm_mean[0], *found.fwhm_sd[1:]),
    )  # fmt: skip
    findings = make_report(psf, statistics=few).findings
    assert findings[0] == "Only 1 bead: record more to know how far they vary."
    assert findings[1].startswith("FWHM z varies by 20% from bead to bead")
    assert findings[2].startswith("The beads differ from the PSF by 2.3 times the noise")


def test_drift_since_an_earlier_report(tmp_path):
    before = make_report(bell((0.7, 0.3, 0.3)))
    before.save(tmp_path / "before.json")
    now = make_report(bell((0.7, 0.36, 0.3)), earlier=tmp_path / "before.json")
    rows = {(row.name, row.axis): row for row in now.rows}
    assert rows["fwhm", "y"].drift == pytest.approx(20, abs=0.1)
    assert rows["fwhm", "z"].drift == pytest.approx(0, abs=0.01)
    assert rows["asymmetry", ""].earlier == before.measured.asymmetry
    assert f"FWHM y has grown by 20% since {before.written}." in now.findings
    assert now.to_dict()["earlier"]["drift_percent"]["fwhm"][1] == rows["fwhm", "y"].drift
    again = make_report(bell((0.7, 0.3, 0.3)), earlier=now.to_dict())
    assert f"FWHM y has shrunk by 17% since {now.written}." in again.findings


# -- files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(statistics, tmp_path_factory):
    """A report with everything, and one file of each kind."""
    found, psf = statistics
    earlier = make_report(psf).to_dict()
    report = make_report(psf, statistics=found, theory=psf, earlier=earlier, notes=NOTES)
    folder = tmp_path_factory.mktemp("report")
    for suffix in REPORT_SUFFIXES:
        report.save(folder / f"report{suffix}")
    assert len(list(folder.iterdir())) == len(REPORT_SUFFIXES)
    return report, folder


def test_csv(full):
    report, folder = full
    with (folder / "report.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = {(row["quantity"], row["axis"]): row for row in rows}
    assert table["microscope", ""]["value"] == NOTES["microscope"]
    assert float(table["spacing", "z"]["value"]) == 0.2
    assert int(table["beads accepted", ""]["value"]) == report.statistics.counts["accepted"]
    for row in report.rows:
        line = table[row.name, row.axis]
        assert float(line["value"]) == row.value
        assert line["unit"] == row.unit
        for column, number in (
            ("sd", row.sd), ("theory", row.theory), ("ratio", row.ratio),
            ("earlier", row.earlier), ("drift_percent", row.drift),
        ):  # fmt: skip
            assert line[column] == ("" if number is None else str(number))


def test_json(full):
    report, folder = full
    assert json.loads((folder / "report.json").read_text(encoding="utf-8")) == report.to_dict()


def test_html_is_valid_and_needs_nothing_else(full):
    report, folder = full
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    page = ElementTree.fromstring(text.partition("\n")[2])  # it is well-formed XML, too
    words = "".join(page.itertext())
    for note in NOTES.values():
        assert note in words
    assert not {element.tag for element in page.iter()} & {"script", "link", "iframe"}
    (image,) = page.iter("img")
    assert image.get("alt")
    kind, code = image.get("src").split(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(base64.b64decode(code))).format == "PNG"
    assert not re.findall(r"(?:src|href)=\"(?!data:)|https?:", text)
    for row in report.rows:
        assert f"{round(row.value, 3) + 0:.3f}" in words
    assert "Nothing is more than 10% off." in words
    _, beads = page.iter("table")
    assert len(list(beads.iter("tr"))) == 1 + len(report.statistics.flux)
    for rows in page.iter("table"):
        assert len({len(row) for row in rows.iter("tr")}) == 1


def test_text_from_outside_is_escaped(theory, monkeypatch):
    monkeypatch.setattr(report_page, "_figure", lambda report: "")
    evil = "</p><script>alert('1')</script>"
    psf = Psf(theory.data, SPACING, {"model": evil})
    page = report_page.make_page(make_report(psf, theory=psf, notes={evil: evil}))
    assert "<script" not in page
    assert "".join(ElementTree.fromstring(page.partition("\n")[2]).itertext()).count(evil) >= 3


def test_pdf_is_one_page_a4(full):
    content = (full[1] / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert b"/Count 1 " in content
    width, height = map(
        float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content).groups()
    )
    assert (width / 72 * 25.4, height / 72 * 25.4) == pytest.approx((210, 297), abs=0.2)


def test_a_long_story_stays_on_its_page(theory, tmp_path):
    story = {"remarks": "word " * 800}
    make_report(bell((0.9, 0.3, 0.36), tilt=0.2), theory=theory, notes=story).save(
        tmp_path / "long.pdf"
    )
    content = (tmp_path / "long.pdf").read_bytes()
    assert b"/Count 1 " in content


def test_the_figure_has_all_panels(full):
    from napari_deconv.psf.report.figure import draw_report

    report, folder = full
    with Image.open(folder / "report.png") as picture:
        assert picture.width > 1000
    titles = [axes.get_title(loc="left") for axes in draw_report(report).axes]
    assert titles[:3] == ["XY", "XZ", "YZ"]
    widths = zip("zyx", report.measured.fwhm, strict=True)
    assert [title.split(",")[0] for title in titles[3:6]] == [
        f"{axis}: FWHM {width:.3f} µm" for axis, width in widths
    ]
    assert titles[6:9] == ["radial power spectrum in focus", "FWHM z, µm", "FWHM x, µm"]
    plane = draw_report(make_report(bell((0.3, 0.32), SPACING[1:], (41, 41))))
    assert [axes.get_title(loc="left").split(",")[0] for axes in plane.axes] == [
        "XY", "y: FWHM 0.300 µm", "x: FWHM 0.320 µm", "radial power spectrum in focus",
    ]  # fmt: skip


def test_text_from_outside_is_no_formula(tmp_path):
    report = make_report(bell((0.7, 0.3, 0.3)), notes={"price": r"$5 and $x_{ \alpha $$ ^"})
    report.save(tmp_path / "report.pdf")


# -- bad input -----------------------------------------------------------------------------------

EARLIER = make_report(bell((0.7, 0.3, 0.3))).to_dict()


def test_a_failure_leaves_the_old_file(tmp_path, theory, monkeypatch):
    report = make_report(theory)
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(report):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_page, "make_page", fail)
    with pytest.raises(DeconvError, match="No space left"):
        report.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DeconvError, match=r"report\.doc does not end in \.html or \.pdf"):
        report.save(tmp_path / "report.doc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theory": "vectorial"}, "theory is a str"),
        ({"theory": {"wavelength": 0.5}}, "na"),
        ({"theory": {"na": 1.2, "wavelength": 0.5, "colour": 3}}, "colour"),
        ({"theory": {"na": "large", "wavelength": 0.5}}, "na='large'"),
        ({"theory": bell((0.3, 0.3), SPACING[1:], (41, 41))}, "theory has 2 axes, the PSF 3"),
        ({"earlier": {"fwhm": 3}}, "no PSF report"),
        ({"earlier": {"napari-deconv report": 1, "shape": [3, 3, 3]}}, "lacks fwhm, fwhm_half"),
        ({"earlier": make_report(bell((0.3, 0.3), SPACING[1:], (41, 41))).to_dict()}, "2 axes"),
        ({"earlier": EARLIER | {"fwhm": [1.0]}}, "its fwhm cannot be"),
        ({"earlier": EARLIER | {"fwhm": [0, 1, 1]}}, "its fwhm cannot be"),
        ({"earlier": EARLIER | {"fwhm": ["wide", 1, 1]}}, "its fwhm cannot be"),
        ({"earlier": EARLIER | {"r_squared": 5}}, "its r_squared cannot be"),
        ({"earlier": EARLIER | {"shape": 5}}, "is damaged"),
        ({"earlier": EARLIER | {"tilt": [1, 2, 3]}}, "its tilt cannot be"),
        ({"earlier": EARLIER | {"mtf10": "high"}}, "its mtf10 cannot be"),
        ({"earlier": EARLIER | {"napari-deconv report": 2}}, "version 2, known is 1: update"),
        ({"earlier": "missing.json"}, "There is no file"),
        ({"earlier": __file__}, "cannot be read as JSON"),
        ({"notes": {"recorded": 3}}, "notes="),
        ({"tolerance": -1}, "tolerance=-1"),
    ],
)
def test_what_cannot_be_compared(options, message):
    with pytest.raises(DeconvError, match=message):
        make_report(bell((0.7, 0.3, 0.3)), **options)

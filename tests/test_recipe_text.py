"""Recipes as people write them: every slip is a sentence with its line, every value is kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import DeconvError, Recipe

BASE = "napari-deconv: 1\ninput: a.tif\npsf: {file: psf.tif}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("deconvolution: {iteration: 4}",
         r"r.yaml, line 4: deconvolution.iteration is not known: did you mean iterations\?"),
        ("deconvolution:\n  method: wiener\n  boundary: none\n",
         "line 6: deconvolution.boundary is 'none': expected 'padded', 'half_padded'"),
        ("deconvolution: {iterations: 4.5}", "line 4: deconvolution.iterations is 4.5: expected a"),
        ("deconvolution: {iterations: true}", "iterations is True: expected a whole number"),
        ("deconvolution: {levels: many}", "is 'many': expected a whole number or 'auto'"),
        ("deconvolution: {method: wiener, stop: quality}", "line 4: .* takes no stop"),
        ("deconvoluton: {}", r"line 4: deconvoluton is not known: did you mean deconvolution\?"),
        ("convolution: {}\ndeconvolution: {}",
         "line 5: deconvolution cannot be: convolution and deconvolution are two last steps"),
        (
            "background:\n  method: mean\n  radius: 3",
            "line 6: background.radius .*'mean' takes no radius: expected factor and floor",
        ),
        ("background: {method: top_hat, floor: 1}", "'top_hat' takes no floor: expected radius"),
        ("background_estimate: {factor: 2}", "'percentile' takes no factor: expected percentile"),
        ("background: {method: mean}\nbackground: {}", "line 5: background stands twice"),
        ("background: {}\nmask: m.tif",
         "line 5: mask cannot be: it belongs to a deconvolution, which is missing.$"),
        ("background: {}\ninitial: i.tif", "line 5: initial cannot be: it belongs to a deconv"),
        ("initial: {recipe: {psf: {}}}", "recipe.psf cannot be: expected .*; given nothing"),
        ("input: {path: a, spacing: [0.2, x]}", "input.spacing.1 is 'x': expected a number"),
        ("input:\n  path: a\n  sample: bars_confocal",
         "line 5: input.sample cannot be: path and sample exclude each other"),
        ("input: {sample: cells}", "input.sample is 'cells': expected 'beads_widefield'"),
        ("psf: {optics: {model: vectorial, na: 1.4}}", "psf.optics.shape is missing"),
        ("psf: {optics: {model: gaussian, shape: [3, 3], na: 1.4}}", "takes no na: expected fwhm"),
        ("psf:\n  optics:\n    model: gaussian\n    shape: [3, 3]\n    na: 1.4",
         "line 7: psf.optics.na cannot be: the model 'gaussian'"),
        ("psf:\n  file: a.tif\n  sample: bars_confocal",
         "line 5: psf.sample cannot be: expected one of .*; given file and sample"),
        ("psf: {channels: []}", r"psf.channels is \[\]: expected a list of at least 1"),
        ("napari-deconv: 2", "napari-deconv is 2: expected 1"),
        ("deconvolution:", "line 4: deconvolution is empty: leave it out, or write {} for its"),
        ("deconvolution: {acceleration: none}", "'wiener_butterworth'; or null, for none"),
        ("deconvolution: {stop: off}", "stop is False: expected .*; or null, for none"),
        ("deconvolution: {boundary: none}", "or 'zero'.$"),
        ("deconvolution: {background: -5}", "expected 'auto' or a number of at least 0.$"),
        ("deconvolution: {background: .nan}", "is nan: expected 'auto' or a finite number"),
        ("input: {path: a, spacing: [0.2, -0.1]}", "spacing.1 is -0.1: expected a number above 0"),
        ("input: {path: a, spacing: [1, 1, 1, 1]}", "spacing is .* or a list of at most 3"),
        ("blocks: {block: [8]}\ndeconvolution: {}", "block is .*: expected a list of at least 2"),
        ("output: {path: a.tif, format: ome-zarr}", "a.tif is not the name of an ome-zarr: exp.*"),
        ("~: 4", "line 4: the recipe has a key that is no text"),
        ("deconvolution: {<<: {iterations: 3}}", "deconvolution has a key that is no text"),
        ("deconvolution: {gain: 1,5}", "line 4: deconvolution has a key that is no text: 5"),
        ("- a", "is no YAML: line 4"),
    ],
)  # fmt: skip
def test_errors_name_line_key_and_what_was_expected(tmp_path, text, message):
    key = text.partition(":")[0]
    lines = [line for line in BASE.splitlines() if not line.startswith(f"{key}:")]
    (tmp_path / "r.yaml").write_text("\n".join([*lines, text]))
    with pytest.raises(DeconvError, match=message) as error:
        Recipe.load(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"just a text", b"[1, 2]", b"a: [\n"])
def test_what_is_no_recipe(tmp_path, content):
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(DeconvError, match=r"r\.yaml"):
        Recipe.load(tmp_path / "r.yaml")
    with pytest.raises(DeconvError, match="cannot be read: No such file"):
        Recipe.load(tmp_path / "missing.yaml")


@pytest.mark.parametrize(
    "text",
    ["a: &a [*a]", "a: &a {b: 1}\nc: *a", "a: " + "[" * 5000, "a: \x00", "? [a]\n: b", "1: 2"],
)
def test_yaml_meant_to_hurt(tmp_path, text):
    (tmp_path / "r.yaml").write_text(f"napari-deconv: 1\n{text}")
    with pytest.raises(DeconvError, match=r"^r\.yaml"):
        Recipe.load(tmp_path / "r.yaml")


VALID = """napari-deconv: 1
input: {path: a.tif, channel: 0, spacing: [0.3, 0.1, 1e-1]}
background: {method: top_hat, radius: 2}
psf:
  beads: {path: b.tif, bead_diameter: 0.1, detection: {method: dog, reject: {edge: false}}}
mask: m.tif
deconvolution: {method: richardson_lucy, iterations: 5, regularization: tv, levels: auto}
output: {path: out.ome.tif, dtype: float32}
engine: cpu
"""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_slip_of_the_pen_is_a_sentence(tmp_path_factory, data):
    """Characters taken out, put in or doubled anywhere: a recipe, or one line that names it."""
    text = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(start + 6, len(text))))
        put = data.draw(
            st.sampled_from(["", " ", ":", "[", "}", "-", "\n", "x", "1", "é", "null", "\t"])
        )
        text = text[:start] + put + text[stop:]
    path = tmp_path_factory.getbasetemp() / "slip.yaml"
    path.write_text(text, encoding="utf-8")
    recipe, message = None, ""
    try:
        recipe = Recipe.load(path)
    except DeconvError as error:
        message = str(error)
    if recipe is None:
        assert message.startswith("slip.yaml")
        assert "\n" not in message
    else:
        path.write_text(recipe.to_yaml(), encoding="utf-8")
        assert Recipe.load(path) == recipe


@settings(max_examples=60, deadline=None)
@given(
    iterations=st.integers(1, 10**6),
    background=st.one_of(st.just("auto"), st.floats(0, 1e6)),
    spacing=st.lists(st.floats(1e-6, 1e3), min_size=2, max_size=3),
    path=st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1
    ),
    weight=st.floats(1e-300, 1e6),
)
def test_yaml_keeps_every_value(tmp_path_factory, iterations, background, spacing, path, weight):
    """Floats to the last bit, whatever the path is called."""
    recipe = Recipe.model_validate({
        "napari-deconv": 1,
        "input": {"path": f"/a{path}", "spacing": spacing},
        "psf": {"sample": "bars_confocal"},
        "deconvolution": {"iterations": iterations, "background": background,
                          "regularization": "tv", "regularization_weight": weight},
    })  # fmt: skip
    file = tmp_path_factory.mktemp("r") / "r.yaml"
    file.write_text(recipe.to_yaml(), encoding="utf-8")
    assert Recipe.load(file).to_dict() == recipe.to_dict()


def test_the_schema_allows_what_is_allowed():
    """A path alone stands for a file, in the schema that editors check against, too."""
    schema = Recipe.model_json_schema()
    for name in ("input", "mask", "initial"):
        kinds = schema["properties"][name]["anyOf"]
        assert {"type": "string"} in kinds
        assert any("$ref" in kind for kind in kinds)

"""`zeroinit spec show`: defaults filled in, comments and layout kept."""

from pathlib import Path

import pytest

from tests.cli.command import Command
from zeroinit_cli.spec.show import filled_in
from zeroinit_cli.spec.spec import parse_spec
from zeroinit_cli.spec.text import MOST_BYTES

PATHS = sorted((Path(__file__).parents[2] / "model_specs").glob("*.yaml"))
SPEC = """\
# what it is
zeroinit: 1   # the version
input: [3, 32, 32]
layers:
  - &act GELU
  - Conv2d: {out_channels: 8, kernel_size: 3}  # the stem

  # blocks
  - residual:
      - BatchNorm2d:
      - *act
  - parallel:
      branches:
        - []
        - [ZeroPad2d: [0, 0, 0, 0]]   # odd
      dim: 2
      # the end of parallel
  - AdaptiveAvgPool2d: 1
# the end
"""
SHOWN = """\
# what it is
zeroinit: 1   # the version
input: [3, 32, 32]
layers:
  - &act {GELU: {approximate: none}}
  - Conv2d: {out_channels: 8, kernel_size: 3, stride: 1, padding: 0, dilation: 1, groups: 1, \
bias: true}  # the stem

  # blocks
  - residual:
      - BatchNorm2d: {eps: 1.0e-05, momentum: 0.1, affine: true, track_running_stats: true}
      - *act
  - parallel:
      branches:
        - []
        - [ZeroPad2d: [0, 0, 0, 0]]   # odd
      dim: 2
      join: cat
      # the end of parallel
  - AdaptiveAvgPool2d: {output_size: 1}
init: {dtype: float32, expansion: sylvester, residual: end, scale: orthonormal, overrides: []}
# the end
"""


def test_defaults_are_filled_in_and_comments_kept(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(SPEC)
    assert zeroinit("spec", "show", "x.yaml").out == SHOWN


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_comment_of_the_known_specs_is_kept(path: Path) -> None:
    spec = parse_spec(path.read_bytes(), path.name)
    shown = filled_in(spec)
    lines = [line for line in spec.text.splitlines() if line.lstrip().startswith("#")]
    assert lines
    assert [line for line in shown.splitlines() if line.lstrip().startswith("#")] == lines
    assert parse_spec(shown.encode(), path.name).digest() == spec.digest()


def test_mappings_that_end_on_one_line_are_filled_from_the_inside() -> None:
    text = (
        "zeroinit: 1\ninput: 8\nlayers:\n- parallel:\n    branches:\n    - []\n"
        "    - - Linear:\n          out_features: 4"
    )
    assert filled_in(parse_spec(text.encode(), "x")) == (
        f"{text}\n          bias: true\n    join: cat\n    dim: 1\n"
        "init: {dtype: float32, expansion: sylvester, residual: end, scale: orthonormal, "
        "overrides: []}"
    )


def test_windows_line_ends_are_kept_apart_from_what_is_filled_in() -> None:
    spec = parse_spec(b"zeroinit: 1\r\ninput: 8\r\nlayers:\r\n- Linear: 4\r\n", "x")
    again = parse_spec(filled_in(spec).encode(), "x")
    assert again.digest() == spec.digest()
    assert again.root.value["layers"].value[0].value["Linear"].plain() == {
        "out_features": 4,
        "bias": True,
    }


def test_a_spec_that_its_defaults_make_too_large_is_shown_with_a_warning(
    zeroinit: Command, tmp_path: Path
) -> None:
    """What is printed cannot be read back, which a spec of the largest size once did not say."""
    text = "zeroinit: 1\ninput: 8\nlayers:\n- Linear: 4\n"
    comment = "#" * (MOST_BYTES - len(text) - 1) + "\n"
    (tmp_path / "x.yaml").write_text(comment + text)
    shown = zeroinit("spec", "show", "x.yaml")
    assert shown.code == 0
    assert shown.out.startswith(comment)
    assert len(shown.out.encode()) == 100123
    assert shown.err == (
        "warning: 100123 bytes with its defaults, which is too large for a spec: at most 100000 "
        "bytes are read\n"
        "  hint: --json prints its canonical form, without comments\n"
    )


def test_the_canonical_form_and_its_digest(zeroinit: Command, tmp_path: Path) -> None:
    """Frozen: a change of these would make every lock of a spec call it changed."""
    (tmp_path / "x.yaml").write_text(
        "zeroinit: 1\nname: a\ninput: 8\nlayers: [Linear: 4, ReLU]\ninit: {preset: paper}\n"
    )
    assert zeroinit("spec", "show", "--json", "x.yaml").json == {
        "canonical": {
            "init": {
                "dtype": "float32",
                "expansion": "sylvester",
                "overrides": [],
                "residual": "layer",
                "scale": "paper",
            },
            "input": [8],
            "layers": [{"Linear": {"bias": True, "out_features": 4}}, {"ReLU": {}}],
            "zeroinit": 1,
        },
        "sha256": "bb0d0386e62ae7149be0f0583bd787a7126cfe509b88366e3bcfd4b795311996",
    }


@pytest.mark.parametrize(
    "text",
    [
        "# other words\nzeroinit: 1\nname: b\ninput: [8]\nlayers:\n- Linear: {out_features: 4}\n"
        "- ReLU:\n",
        "layers: [{Linear: {bias: true, out_features: 4}}, ReLU]\ninput: 8\nzeroinit: 1\n"
        "init: {scale: orthonormal, residual: end}\n",
        "zeroinit: 1\ninput: 8\nlayers: [Linear: 4, ReLU: {}]\ndescription: |\n  Anything.\n",
    ],
)
def test_prose_order_and_what_is_the_default_do_not_change_the_digest(text: str) -> None:
    plain = parse_spec(b"zeroinit: 1\ninput: 8\nlayers: [Linear: 4, ReLU]\n", "x")
    assert parse_spec(text.encode(), "x").digest() == plain.digest()
    other = parse_spec(b"zeroinit: 1\ninput: 8\nlayers: [Linear: 5, ReLU]\n", "x")
    assert other.digest() != plain.digest()

"""The canonical form: what `zeroinit spec show` prints, and what the digest is taken of."""

from pathlib import Path

import pytest

from tests.cli.command import Command
from zeroinit_cli.spec.canonical import to_yaml
from zeroinit_cli.spec.check import parse_spec
from zeroinit_cli.spec.yaml_text import MOST_SPEC_BYTES

PATHS = sorted((Path(__file__).parents[2] / "model_specs").glob("*.yaml"))
SPEC = """\
# what it is
zeroinit: 1   # the version
name: a net
layers:
  - &act GELU
  - Conv2d: {kernel_size: [3, 3], out_channels: 8}  # the stem
  - residual:
      - BatchNorm2d:
      - *act
  - parallel:
      branches:
        - []
        - [ReLU]
      dim: 2
input: [3, 32, 32]
init:
  overrides:
    - {pattern: "1e-5", rule: kept}   # a number, were it not quoted
"""
SHOWN = """\
zeroinit: 1
input: [3, 32, 32]
layers:
- GELU: {approximate: none}
- Conv2d:
    out_channels: 8
    kernel_size: [3, 3]
    stride: 1
    padding: 0
    dilation: 1
    groups: 1
    bias: true
- residual:
  - BatchNorm2d: {eps: 1.0e-05, momentum: 0.1, affine: true, track_running_stats: true}
  - GELU: {approximate: none}
- parallel:
    branches:
      "0": []
      "1":
      - ReLU: {}
    join: cat
    dim: 2
init:
  dtype: float32
  policy: default
  overrides:
  - pattern: "1e-5"
    rule: kept
"""


def test_defaults_are_filled_in_and_aliases_written_out(zeroinit: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(SPEC)
    assert zeroinit("spec", "show", "x.yaml").out == SHOWN


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_is_shown_of_the_known_specs_has_their_digest(path: Path) -> None:
    spec = parse_spec(path.read_bytes(), path.name)
    assert parse_spec(to_yaml(spec.document).encode(), path.name).digest() == spec.digest()


def test_the_default_input_of_a_family_is_shown() -> None:
    fields = "vocab_size: 8, max_seq_len: 4, num_layers: 1, num_heads: 1, hidden_dim: 4"
    spec = parse_spec(f"zeroinit: 1\nmodel: {{gpt: {{{fields}}}}}\n".encode(), "x")
    assert spec.canonical()["input"] == [4]
    assert spec.inputs == (("", (4,)),)


def test_a_null_that_is_not_the_default_is_shown() -> None:
    """Its digest leaves every null out, and what is shown must not be read as the default."""
    text = "zeroinit: 1\ninput: [8, 4]\nlayers: [BatchNorm1d: {momentum: null}]\n"
    shown = to_yaml(parse_spec(text.encode(), "x").document)
    assert (
        "- BatchNorm1d: {eps: 1.0e-05, momentum: null, affine: true, track_running_stats: true}\n"
        in shown
    )
    digest = parse_spec(shown.encode(), "x").digest()
    assert digest == parse_spec(text.encode(), "x").digest()
    assert digest != parse_spec(text.replace(": null", ": 0.1").encode(), "x").digest()


@pytest.mark.parametrize("combination", ["sequential", "residual"])
def test_what_is_shown_is_nested_no_deeper_than_the_spec(combination: str) -> None:
    """More than 100 levels could not be read back."""
    layers = "ReLU"
    for _ in range(45):
        layers = f"{{{combination}: [{layers}]}}"
    spec = parse_spec(f"zeroinit: 1\ninput: 8\nlayers: [{layers}]\n".encode(), "x")
    assert parse_spec(to_yaml(spec.document).encode(), "x").digest() == spec.digest()


def test_a_spec_that_its_defaults_make_too_large_is_shown_with_a_warning(
    zeroinit: Command, tmp_path: Path
) -> None:
    """What is printed cannot be read back, and the message says so."""
    (tmp_path / "x.yaml").write_text(
        f"zeroinit: 1\ninput: [8, 4]\nlayers: [{'BatchNorm1d, ' * 1200}]\n"
    )
    shown = zeroinit("spec", "show", "x.yaml")
    assert shown.code == 0
    assert len(shown.out.encode()) == 103291 > MOST_SPEC_BYTES
    assert shown.err == (
        "warning: 103291 bytes with its defaults, which is too large for a spec: at most 100000 "
        "bytes are read\n"
    )


def test_the_canonical_form_and_its_digest(zeroinit: Command, tmp_path: Path) -> None:
    """Frozen: a change of these would make every lock of a spec call it changed."""
    (tmp_path / "x.yaml").write_text(
        "zeroinit: 1\nname: a\ninput: 8\nlayers: [Linear: 4, ReLU]\ninit: {policy: paper}\n"
    )
    assert zeroinit("spec", "show", "--json", "x.yaml").json == {
        "canonical": {
            "init": {
                "dtype": "float32",
                "overrides": [],
                "policy": "paper",
            },
            "input": [8],
            "layers": [{"Linear": {"bias": True, "out_features": 4}}, {"ReLU": {}}],
            "zeroinit": 1,
        },
        "sha256": "e143f46c9d1f999f84faace172e8b6b9f4ecd5ef9f317d0e4945fbcbd46193a9",
    }


@pytest.mark.parametrize(
    "text",
    [
        "# other words\nzeroinit: 1\nname: b\ninput: [8]\nlayers:\n- Linear: {out_features: 4}\n"
        "- ReLU:\n",
        "layers: [{Linear: {bias: true, out_features: 4}}, ReLU]\ninput: 8\nzeroinit: 1\n"
        "init: {dtype: float32, policy: default}\n",
        "zeroinit: 1\ninput: 8\nlayers: [Linear: 4, ReLU: {}]\ndescription: |\n  Anything.\n",
    ],
)
def test_prose_order_and_what_is_the_default_do_not_change_the_digest(text: str) -> None:
    plain = parse_spec(b"zeroinit: 1\ninput: 8\nlayers: [Linear: 4, ReLU]\n", "x")
    assert parse_spec(text.encode(), "x").digest() == plain.digest()
    other = parse_spec(b"zeroinit: 1\ninput: 8\nlayers: [Linear: 5, ReLU]\n", "x")
    assert other.digest() != plain.digest()

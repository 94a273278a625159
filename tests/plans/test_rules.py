"""What a rule says of itself: against its entries, its canonical form, and the words for people."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

from tests.plans import RULES, rule_from_json
from tests.plans.oracles import ruled_tensors, whole
from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps
from zeroinit_cli.plans.layouts import (
    Groups,
    Interleaved,
    Mirrored,
    Split,
    Transposed,
    Viewed,
    ZeroRow,
)
from zeroinit_cli.plans.norms import Directions, Norms
from zeroinit_cli.plans.rules import Constant, Hadamard, Identity, Kept, Ones, Rule, Twisted, Zeros

KEPT = Kept(sha256="digest")
FORMAT = Path(__file__).parents[2] / "docs" / "format.md"


def at_taps(first: int, last: int) -> Rule:
    return Taps(ranges=((first, last),), of=Ones())


@given(ruled=ruled_tensors())
@settings(max_examples=100, deadline=None)
def test_as_many_nonzeros_are_counted_as_there_are(ruled: tuple[Rule, tuple[int, ...]]) -> None:
    rule, shape = ruled
    assert rule.nonzeros(shape) == torch.count_nonzero(whole(rule, shape))


def test_kept_values_count_as_nonzeros() -> None:
    assert Split(parts=((2, KEPT), (4, Zeros()))).nonzeros((6, 2)) == 4


@given(ruled=ruled_tensors())
@settings(max_examples=100, deadline=None)
def test_the_canonical_form_holds_the_whole_rule(ruled: tuple[Rule, tuple[int, ...]]) -> None:
    rule, _ = ruled
    assert rule_from_json(json.loads(json.dumps(rule.to_json()))) == rule


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule_has_a_row_in_the_format(kind: str) -> None:
    assert FORMAT.read_text(encoding="utf-8").count(f"\n| `{kind}` | ") == 1


@pytest.mark.parametrize(
    "rule", [Identity(), KEPT, Taps(ranges=((0, 1),), of=Groups(count=1, of=KEPT))]
)
def test_kept_values_are_found_wherever_they_lie(rule: Rule) -> None:
    split = Split(parts=((1, Zeros()), (1, Transposed(of=rule))))
    assert list(split.kept_digests()) == ([] if rule == Identity() else ["digest"])


@pytest.mark.parametrize(
    ("rule", "shape", "words", "brief"),
    [
        (KEPT, (2,), "kept", "kept"),
        (Ones(), (2,), "ones", "ones"),
        (Identity(), (3, 3), "identity", "identity"),
        (Identity(), (3, 4), "partial identity", "partial identity"),
        (
            Twisted(block=4, prime=7, half_exponent=-3),
            (5, 3),
            "twisted Hadamard, p = 7, c = 2^(-3/2)",
            "twisted Hadamard",
        ),
        (
            CentredTaps(of=Identity(), signs=Hadamard(half_exponent=-3)),
            (3, 3, 5),
            *["identity times signs around the centre"] * 2,
        ),
        (
            BlockMeans(grid=(1, 2), half_exponent=-3),
            (2, 1, 2, 4),
            "block means, 1 x 2 blocks, c = 2^(-3/2)",
            "block means",
        ),
        (at_taps(1, 2), (2, 2, 3), "ones at tap (1)", "ones at one tap"),
        (at_taps(0, 2), (2, 2, 3), "ones at taps (0-1)", "ones at some taps"),
        (at_taps(0, 3), (2, 2, 3), "ones at every tap", "ones at every tap"),
        (at_taps(0, 1), (2, 2, 1), "ones", "ones"),
        (
            Groups(count=2, of=Identity()),
            (6, 3),
            "identity in each of 2 groups",
            "identity in each group",
        ),
        (
            Viewed(rows=4, of=Mirrored(of=Hadamard(half_exponent=-2))),
            (4, 1, 2),
            "mirrored Hadamard, c = 2^-1",
            "mirrored Hadamard",
        ),
        (
            Transposed(of=Split(parts=((2, Identity()), (2, Zeros())))),
            (2, 4),
            "identity | zeros, transposed",
            "identity | zeros, transposed",
        ),
        (Split(parts=((2, Identity()),) * 3), (6, 2), "3 x identity", "3 x identity"),
        (
            Interleaved(blocks=2, parts=((4, Identity()), (1, Zeros()))),
            (10, 8),
            "identity | zeros, in 2 blocks",
            "identity | zeros, in blocks",
        ),
        (
            Interleaved(blocks=4, parts=((2, Hadamard(half_exponent=-3)),) * 2),
            (16, 4),
            "2 x Hadamard, c = 2^(-3/2), in 4 blocks",
            "2 x Hadamard, in blocks",
        ),
        (Constant(value=-1.0), (3,), "-1", "-1"),
        (ZeroRow(row=1, of=Identity()), (3, 3), "identity, row 1 zero", "identity, row 1 zero"),
        (
            Norms(shape=(4, 2), dim=0, of=Hadamard(half_exponent=-2)),
            (4, 1),
            "norms of Hadamard, c = 2^-1",
            "norms of Hadamard",
        ),
        (Directions(dim=0, of=Zeros()), (3, 3), "unit vectors", "unit vectors"),
        (
            Directions(dim=2, of=at_taps(1, 2)),
            (2, 2, 3),
            "ones at tap (1), unit vectors where 0",
            "ones at one tap, unit vectors where 0",
        ),
    ],
    ids=repr,
)
def test_a_rule_is_named_for_its_shape(
    rule: Rule, shape: tuple[int, ...], words: str, brief: str
) -> None:
    assert rule.describe(shape) == words
    assert rule.describe(shape, brief=True) == brief

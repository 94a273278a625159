"""What a rule wrote is recognized, and nothing else ever is."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands.drawn import POLICY, policy_tensors
from tests.commands.tensors import bits_of, reader, recognized
from tests.plans.oracles import ruled_tensors
from zeroinit_cli.commands.recognize import ContentKind, Recognized, recognize
from zeroinit_cli.commands.tensor_summary import summarize
from zeroinit_cli.dtypes import BF16, DTYPES, F16, F32, F64, FLOATS, DType
from zeroinit_cli.plans import parametrizations, policy
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
from zeroinit_cli.plans.norms import Directions
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.rules import Constant, Hadamard, Identity, Ones, Rule, Twisted, Zeros
from zeroinit_cli.policies import DEFAULT
from zeroinit_cli.store.hashing import BLOCK_BYTES

I, Z, O = Identity(), Zeros(), Ones()  # noqa: E741 - as in formulas
CENTRE = ((1, 2), (1, 2))


def hadamard(half_exponent: int) -> Hadamard:
    return Hadamard(half_exponent=half_exponent)


def twisted(block: int, prime: int, half_exponent: int) -> Twisted:
    return Twisted(block=block, prime=prime, half_exponent=half_exponent)


SIGNS = twisted(16, 67, -4)
CASES: list[tuple[Rule, tuple[int, ...]]] = [
    (Z, (5,)),
    (O, ()),
    (I, (8, 8)),
    (I, (5, 9)),
    (twisted(64, 1019, -10), (1000, 64)),
    (hadamard(-9), (1000, 64)),  # the paper's
    (hadamard(-5), (40, 1)),
    (Mirrored(of=twisted(64, 1019, 0)), (1000, 64)),
    (Mirrored(of=twisted(64, 67, 0)), (10, 64)),
    (Mirrored(of=twisted(64, 1019, -6)), (1000, 64)),
    (Viewed(rows=100, of=Mirrored(of=twisted(64, 103, -18))), (1, 100, 64)),
    (Mirrored(of=I), (5, 9)),
    (Viewed(rows=197, of=Mirrored(of=I)), (1, 197, 768)),
    (Viewed(rows=64, of=Transposed(of=twisted(64, 787, -10))), (64, 3, 16, 16)),
    (BlockMeans(grid=(5, 5), half_exponent=-4), (64, 3, 16, 16)),
    (Viewed(rows=64, of=twisted(16, 67, -6)), (64, 3, 2, 2)),
    (CentredTaps(of=I, signs=twisted(16, 19, -4)), (8, 8, 3, 3)),
    (
        CentredTaps(of=Groups(count=8, of=twisted(2, 11, -3)), signs=twisted(16, 67, -4)),
        (64, 2, 3, 3),
    ),
    (CentredTaps(of=Groups(count=64, of=I), signs=SIGNS), (64, 1, 3, 3)),
    (Taps(ranges=CENTRE, of=I), (8, 8, 3, 3)),
    (Taps(ranges=CENTRE, of=hadamard(-5)), (64, 3, 3, 3)),
    (Taps(ranges=((0, 1), (0, 1)), of=I), (8, 16, 1, 1)),
    (Groups(count=64, of=Taps(ranges=CENTRE, of=I)), (64, 1, 3, 3)),
    (Groups(count=32, of=Taps(ranges=CENTRE, of=I)), (256, 8, 3, 3)),
    (Groups(count=32, of=Taps(ranges=CENTRE, of=twisted(2, 3, -1))), (64, 1, 3, 3)),
    (Transposed(of=Taps(ranges=((1, 3), (1, 3)), of=I)), (32, 17, 4, 4)),
    (Transposed(of=I), (20, 5)),
    (Transposed(of=twisted(16, 67, -6)), (16, 64)),
    (Split(parts=((32, I), (32, Z), (32, Z))), (96, 32)),
    (Split(parts=((32, I), (32, I), (32, I))), (96, 32)),
    (Split(parts=((192, twisted(128, 199, -8)),) * 3), (576, 96)),
    (Split(parts=((64, I), (16, Z), (16, Z))), (96, 64)),
    (Interleaved(blocks=4, parts=((8, I), (8, Z), (8, Z))), (96, 32)),
    (Interleaved(blocks=4, parts=((8, I), (8, I), (8, I))), (96, 32)),
    (Interleaved(blocks=2, parts=((32, I), (8, Z), (8, Z))), (96, 64)),
    (Interleaved(blocks=2, parts=((32, I), (8, I), (8, I))), (96, 64)),
    (Transposed(of=Interleaved(blocks=4, parts=((8, hadamard(-4)), (8, Z), (8, Z)))), (16, 96)),
    (Constant(value=0.25), (8,)),
    (Constant(value=-0.75), (8,)),
    (Transposed(of=Split(parts=((32, I), (32, I), (32, I)))), (32, 96)),
    (ZeroRow(row=1, of=hadamard(-9)), (1000, 64)),
    (ZeroRow(row=0, of=Mirrored(of=twisted(64, 1019, 0))), (1000, 64)),
    (ZeroRow(row=3, of=I), (8, 9)),
    (Viewed(rows=128, of=Groups(count=4, of=hadamard(-4))), (4, 32, 9)),
    (Viewed(rows=128, of=Groups(count=4, of=Split(parts=((16, I), (16, I))))), (4, 32, 16)),
    (Viewed(rows=36, of=Groups(count=4, of=Transposed(of=twisted(16, 43, -5)))), (4, 9, 32)),
    (Split(parts=((20, twisted(32, 23, -5)),) * 4), (80, 20)),
    (Directions(dim=0, of=Z), (9, 16)),
    (Directions(dim=2, of=Z), (9, 16, 5)),
    (Viewed(rows=1, of=I), (40,)),
    (Split(parts=((4, Z), (36, Viewed(rows=1, of=I)))), (40,)),
    (Viewed(rows=80, of=twisted(16, 83, -7)), (80,)),
]


FOREIGN: list[tuple[Rule, tuple[int, ...]]] = [
    (hadamard(-3), (40, 16)),  # another constant
    (hadamard(-3), (8, 8)),  # no expansion
    (twisted(32, 107, -7), (100, 20)),  # another prime
    (Taps(ranges=CENTRE, of=O), (8, 8, 3, 3)),
    (Taps(ranges=CENTRE, of=Mirrored(of=I)), (8, 8, 3, 3)),
    (Taps(ranges=((1, 3), (1, 3)), of=hadamard(-6)), (64, 16, 4, 4)),
    (Viewed(rows=12, of=I), (3, 4, 5, 6)),
    (Split(parts=((64, I), (20, I), (12, I))), (96, 64)),
    (Interleaved(blocks=4, parts=((8, I), (8, Z), (8, I))), (96, 32)),
    (Split(parts=((40, hadamard(-6)), (9, Z), (8, I))), (57, 16)),
    (ZeroRow(row=3, of=Mirrored(of=I)), (8, 9)),
]
"""Rules that the policy gives no tensor of this shape."""


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(("rule", "shape"), CASES, ids=str)
def test_the_policys_rules_are_recognised_as_themselves(
    rule: Rule, shape: tuple[int, ...], dtype: DType
) -> None:
    found, _ = recognized(bits_of(rule, shape, dtype), dtype)
    assert found.rule == rule


@given(ruled=ruled_tensors(), dtype=st.sampled_from([F64, F32, F16, BF16]))
@settings(max_examples=300, deadline=None)
def test_a_recognised_rule_gives_the_very_bytes(
    ruled: tuple[Rule, tuple[int, ...]], dtype: DType
) -> None:
    """Whatever tree wrote them; it may be another tree, or none."""
    rule, shape = ruled
    bits = bits_of(rule, shape, dtype)
    found, _ = recognized(bits, dtype)
    if found.rule is not None:
        assert np.array_equal(bits_of(found.rule, shape, dtype), bits)
    if found.constant is not None:
        assert (bits == found.constant).all()


@given(ruled=policy_tensors(), dtype=st.sampled_from(FLOATS))
@settings(max_examples=400, deadline=None)
def test_all_that_the_policy_gives_is_recognized(
    ruled: tuple[Rule, tuple[int, ...]], dtype: DType
) -> None:
    """Some rules have the same bytes as another, which may be found in their place."""
    rule, shape = ruled
    bits = bits_of(rule, shape, dtype)
    found, _ = recognized(bits, dtype)
    assert found.rule is not None
    assert np.array_equal(bits_of(found.rule, shape, dtype), bits)


def test_every_function_of_the_policy_that_gives_a_rule_is_drawn() -> None:
    functions = [
        *inspect.getmembers(policy, inspect.isfunction),
        *inspect.getmembers(parametrizations, inspect.isfunction),
    ]
    giving = {
        name
        for name, function in functions
        if inspect.signature(function).return_annotation is Rule and name[0] != "_"
    }
    within_others, of_unknown_shape = {"algorithm_1", "flattened"}, {"weight_norm_magnitude"}
    assert giving - within_others - of_unknown_shape == POLICY.keys()


@pytest.mark.parametrize(("rule", "shape"), FOREIGN, ids=str)
def test_what_the_policy_never_gives_is_no_rule(rule: Rule, shape: tuple[int, ...]) -> None:
    found, _ = recognized(bits_of(rule, shape))
    assert (found.kind, found.rule) == (ContentKind.TRAINED, None)


@given(ruled=ruled_tensors(), data=st.data())
@settings(max_examples=300, deadline=None)
def test_one_flipped_bit_is_never_passed_over(
    ruled: tuple[Rule, tuple[int, ...]], data: st.DataObject
) -> None:
    """What is recognized after it gives the flipped bytes, or is said to depart from its rule."""
    rule, shape = ruled
    bits = bits_of(rule, shape)
    flat = bits.reshape(-1)
    at = data.draw(st.integers(0, flat.size - 1))
    flat[at] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    found, _ = recognized(bits)
    if found.rule is not None:
        assert np.array_equal(bits_of(found.rule, shape), bits)
    elif found.nearly is not None and found.nearly.rule is not None:
        expected = bits_of(found.nearly.rule, shape).reshape(-1)
        differing = np.flatnonzero(expected != flat)
        departure = found.nearly
        assert (departure.count, departure.first) == (differing.size, differing[0])
        assert (departure.expected, departure.found) == (expected[differing[0]], flat[differing[0]])


@pytest.mark.parametrize(
    ("rule", "shape"), [case for case in CASES if np.prod(case[1]) > 64], ids=str
)
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_one_flipped_sign_is_named_beside_the_rule(
    rule: Rule, shape: tuple[int, ...], place: float
) -> None:
    bits = bits_of(rule, shape)
    flat = bits.reshape(-1)
    at = int(place * (flat.size - 1))
    before = int(flat[at])
    flat[at] ^= np.uint32(1 << 31)
    found, _ = recognized(bits)
    assert found.kind is ContentKind.TRAINED
    assert found.nearly is not None
    assert found.nearly.rule == rule
    departure = found.nearly
    assert (departure.count, departure.first) == (1, at)
    assert (departure.expected, departure.found) == (before, before ^ 1 << 31)


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (hadamard(-10), (1025, 1024)),
        (I, (700, 1400)),
        (Viewed(rows=600, of=Mirrored(of=I)), (1, 600, 1200)),
        (Split(parts=((600, I), (600, Z), (600, Z))), (1800, 600)),
        (Groups(count=8, of=Taps(ranges=CENTRE, of=hadamard(-8))), (4096, 16, 3, 3)),
    ],
    ids=str,
)
def test_the_last_element_of_many_blocks_is_compared(rule: Rule, shape: tuple[int, ...]) -> None:
    bits = bits_of(rule, shape)
    assert bits.nbytes > 2 * BLOCK_BYTES
    assert recognized(bits)[0].rule == rule
    flat = bits.reshape(-1)
    flat[-1] ^= np.uint32(1 << 31)
    found, _ = recognized(bits)
    assert found.rule is None
    assert found.nearly is not None
    assert found.nearly.rule == rule
    assert (found.nearly.count, found.nearly.first) == (1, flat.size - 1)


def reads(bits: Bits) -> tuple[Recognized, int]:
    """What a tensor is, and how many elements were read to tell it."""
    sizes: list[int] = []
    read = reader(bits)

    def counted(start: int, count: int) -> Bits:
        sizes.append(count)
        return read(start, count)

    info = TensorInfo(name="x", shape=bits.shape, dtype=F32)
    found = recognize(info, summarize(info, bits.size, counted), counted)
    return found, sum(sizes)


def test_random_data_costs_one_pass() -> None:
    bits = np.random.default_rng(0).standard_normal((600, 600), np.float32).view("<u4")
    found, read = reads(bits)
    assert (found.kind, found.nearly) == (ContentKind.TRAINED, None)
    assert read == bits.size


def test_a_size_of_many_divisors_costs_less_than_a_second_pass() -> None:
    """Groups of every size are candidates; a few elements of each tell that it is none."""
    values = np.resize(np.array([1, -1, 0.5, 0.25], np.float32), (720_720, 1, 1))
    found, read = reads(values.view("<u4"))
    assert (found.kind, found.rule) == (ContentKind.TRAINED, None)
    assert read < 2 * values.size


@pytest.mark.parametrize("code", sorted(DTYPES))
def test_zeros_are_zeros_in_every_type_that_has_them(code: str) -> None:
    found, summary = recognized(np.zeros(24, np.uint8), DTYPES[code], shape=(24,))
    if code == "F8_E8M0":  # a power of two, never 0
        assert (found.kind, found.constant) == (ContentKind.CONSTANT, 0)
    else:
        assert found.rule == Z
        assert summary.zeros in (None, summary.numel)


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        ("F8_E4M3", 0x38),
        ("F8_E5M2", 0x3C),
        ("F8_E4M3FNUZ", 0x40),
        ("F8_E5M2FNUZ", 0x40),
        ("F8_E8M0", 0x7F),
        ("BOOL", 1),
        ("U8", 1),
        ("I64", 1),
        ("BF16", 0x3F80),
    ],
)
def test_ones_are_ones_in_every_type(code: str, pattern: int) -> None:
    dtype = DTYPES[code]
    found, summary = recognized(np.full(9, pattern, f"<u{dtype.itemsize}"), dtype)
    assert found.rule == O
    assert summary.norm == 3


def test_another_value_everywhere_is_a_constant_not_a_rule() -> None:
    found, _ = recognized(np.full((7, 3), 1e-6, np.float32).view("<u4"))
    assert found.kind is ContentKind.CONSTANT
    assert found.constant == int(np.array(1e-6, np.float32).view(np.uint32))


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2**40), (2, 0, 5, 5)])
def test_tensors_without_elements_are_empty(shape: tuple[int, ...]) -> None:
    found, _ = recognized(np.zeros(0, np.uint32), shape=shape)
    assert found.kind is ContentKind.EMPTY


def test_integers_are_data_not_trained() -> None:
    found, _ = recognized(np.arange(100, dtype=np.int64).view("<u8"), DTYPES["I64"])
    assert found.kind is ContentKind.DATA


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (twisted(16, 3, -2), (2, 9)),
        (I, (1,) * 40),
    ],
)
def test_odd_shapes_do_no_harm(rule: Rule, shape: tuple[int, ...]) -> None:
    bits = np.resize(np.array([0x3F800000, 0xBF800000, 0], "<u4"), shape)
    recognized(bits.astype("<u4"))


DOUBLED = policy.Geometry(groups=1, stride=(2, 2), padding=(0, 0), dilation=(1, 1))
RARE_ENDS: dict[str, tuple[Rule, tuple[int, ...]]] = {
    "before a GLU": (policy.fused_linear((32, 16), 2, DEFAULT), (32, 16)),
    "bilinear": (policy.bilinear((6, 4, 4), DEFAULT), (6, 4, 4)),
    "upsampling": (policy.transposed_convolution((8, 8, 2, 2), DOUBLED, DEFAULT), (8, 8, 2, 2)),
}


@pytest.mark.parametrize("name", RARE_ENDS)
def test_rare_ends_of_branches_are_recognized(name: str) -> None:
    of, shape = RARE_ENDS[name]
    rule = policy.damped(of, DEFAULT)
    assert recognized(bits_of(rule, shape, F32), F32)[0].rule == rule

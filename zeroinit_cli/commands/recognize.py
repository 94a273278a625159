"""A tensor's rule, found from its bytes alone. No torch.

The candidates are all rules that the policy can give a tensor of its shape. What a summary of the
tensor counted rules most of them out; the rest are compared with the tensor, block by block.
Nothing is called a rule that does not give every byte.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from zeroinit_cli.commands.tensor_summary import Read, Summary, few, is_packed, to_numbers
from zeroinit_cli.dtypes import FLOATS, INTEGERS
from zeroinit_cli.options import CHOICES, Options
from zeroinit_cli.plans import parametrizations, policy
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rules import Constant, Elements, Ones, Range, Region, Rule, Shape, Zeros
from zeroinit_cli.plans.values import region_values, regions
from zeroinit_cli.store.hashing import BLOCK_BYTES

_OPTION_SETS = tuple(
    Options(scale=scale, expansion=expansion)
    for expansion in CHOICES["expansion"]
    for scale in CHOICES["scale"]
)
"""Every choice of the options that change a rule, the default first."""

_FUSED_PARTS = (2, 3, 4)  # projections in one weight, as gate and up
_GATES = (1, 3, 4)  # of RNN, GRU, LSTM
_HEAD = 4096  # elements compared first; they exclude most wrong rules
_MOST_TAPS = 1 << 18  # in a kernel; a larger one is no convolution's
_MOST_DIMENSIONS = 6


class ContentKind(StrEnum):
    """The kind of content that a tensor holds."""

    RULE = "rule"
    CONSTANT = "constant"
    TRAINED = "trained"
    DATA = "data"  # integers, which are not trained, or a packed type
    EMPTY = "empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """The elements in which a tensor departs from a rule.

    Attributes:
        rule: which; None for a constant that no rule gives, which is `expected`.
        count: elements that differ; not all, if the comparison was given up.
        first: flat index of the first of them.
        expected: bits by the rule there.
        found: bits that stand there.
        first_zero: flat index of the first of them that is 0.
    """

    rule: Rule | None
    count: int
    first: int
    expected: int
    found: int
    first_zero: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognized:
    """The content of a tensor, and the rule that gives it.

    Attributes:
        kind: in a word.
        rule: the rule that gives every byte of it, where there is one.
        constant: bits of the one value that it holds, where that is no rule.
        nearly: where it is neither, the rule or constant that all but a few elements follow.
    """

    kind: ContentKind
    rule: Rule | None = None
    constant: int | None = None
    nearly: Departure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tensor:
    """A tensor that can be read, and what a summary counted in it."""

    info: TensorInfo
    summary: Summary
    read: Read

    @property
    def most(self) -> int:
        """Elements that may differ from a rule that is still worth naming."""
        return few(self.summary.numel)


def recognize(info: TensorInfo, summary: Summary, read: Read) -> Recognized:
    """Find the rule that gives a tensor its bytes.

    Args:
        info: its name, shape and type.
        summary: of all of it.
        read: gives its patterns.

    Returns:
        a rule only if all of the tensor was compared with it and every byte is the same.
    """
    if summary.numel == 0:
        return Recognized(kind=ContentKind.EMPTY)
    near, constant = None, summary.constant
    rule = None if constant is None else _constant_rule(constant, info)
    if rule is None and info.dtype in FLOATS and not summary.random:
        rule, near = _search(_Tensor(info=info, summary=summary, read=read))
    if rule is not None:
        return Recognized(kind=ContentKind.RULE, rule=rule)
    if constant is not None:
        return Recognized(kind=ContentKind.CONSTANT, constant=constant)
    nearly = [away for away in (_nearly_constant(info, summary), near) if away is not None]
    nearest = min(nearly, key=lambda away: away.count, default=None)
    kind = (
        ContentKind.DATA if info.dtype in INTEGERS or is_packed(info.dtype) else ContentKind.TRAINED
    )
    return Recognized(kind=kind, nearly=nearest)


def _constant_rule(pattern: int, info: TensorInfo) -> Rule | None:
    """Return the rule of a pattern that is 0, 1, or in a floating type -1."""
    if pattern == 0 and info.dtype.code != "F8_E8M0":  # which has no zero
        return Zeros()
    if is_packed(info.dtype) or info.dtype.code == "C64":
        return None
    number = to_numbers(np.array([pattern], f"<u{info.dtype.itemsize}"), info.dtype)[0]
    if number == -1 and info.dtype in FLOATS:
        return Constant(value=-1.0)  # a norm's scale that is stored less 1, and 0
    return Ones() if number == 1 and not (info.dtype.code == "BOOL" and pattern != 1) else None


def _nearly_constant(info: TensorInfo, summary: Summary) -> Departure | None:
    """Find the one value that all but a few elements have."""
    if summary.random:
        return None
    occurrences = summary.patterns
    usual = max(occurrences, key=lambda pattern: (occurrences[pattern].count, pattern))
    count = summary.numel - occurrences[usual].count
    if count > few(summary.numel):
        return None
    firsts = {
        occurrence.first: pattern
        for pattern, occurrence in occurrences.items()
        if pattern != usual and occurrence.count
    }
    if summary.first_other is not None and summary.first_other < min(firsts, default=summary.numel):
        return None  # rare: the tensor would have to be read again for the bits
    first = min(firsts)
    return Departure(
        rule=_constant_rule(usual, info),
        count=count,
        first=first,
        expected=usual,
        found=firsts[first],
    )


def _search(tensor: _Tensor) -> tuple[Rule | None, Departure | None]:
    """Find the first candidate that gives every element, or the one that departs from fewest."""
    nearest: Departure | None = None
    tried: set[Rule] = set()
    for rule in _candidates(tensor):
        if rule in tried:
            continue
        tried.add(rule)
        if not _allows(rule, tensor):
            continue
        away = _departure(rule, tensor)
        if away is None:
            return rule, None
        if away.count <= tensor.most and (nearest is None or away.count < nearest.count):
            nearest = away
    return None, nearest


def _candidates(tensor: _Tensor) -> Iterator[Rule]:
    """Yield every rule that the policy can give a tensor of this shape, some of them twice.

    Where several have the same bytes the first is reported, so the likelier come first. A new
    function of the policy is one more line in one of those below.
    """
    shape = tensor.info.shape
    if len(shape) == 1:
        yield from _vectors(tensor)
    elif len(shape) == 2:
        yield from _matrices(tensor)
        yield from _padded_embeddings(tensor)
    elif 2 < len(shape) <= _MOST_DIMENSIONS:
        yield from _kernels(tensor)
        if max(shape[2:]) == 1:
            yield from _projections(tensor)
        yield from _stacks(shape)
    if len(shape) > 1 and tensor.summary.nonzeros == math.prod(shape[:-1]):
        yield parametrizations.unit_vectors(shape)  # tokens that a norm sees alone


def _vectors(tensor: _Tensor) -> Iterator[Rule]:
    """What spectral norm holds beside a weight: a unit vector, and a column of the weight."""
    (size,) = tensor.info.shape
    nonzeros = tensor.summary.nonzeros
    firsts = (place.first for pattern, place in tensor.summary.patterns.items() if pattern)
    yield parametrizations.unit_vector(size, min(firsts))
    if size % nonzeros == 0:  # a column of the first of several groups
        shape = (size, 1, 1)
        for options in _OPTION_SETS:
            weight = policy.convolution(shape, size // nonzeros, options)
            yield parametrizations.spectral_norm_left(weight, shape)


def _matrices(tensor: _Tensor) -> Iterator[Rule]:
    """Yield linear maps, fused and transposed ones, and tables."""
    shape, rows = tensor.info.shape, tensor.info.shape[0]
    yield from (policy.linear(shape, options) for options in _OPTION_SETS)
    yield from _projections(tensor)
    for options in _OPTION_SETS:
        yield policy.transposed_linear(shape, options)
        yield policy.position_table(shape, options)
        for parts in _FUSED_PARTS:
            if rows % parts == 0:
                yield policy.fused_linear(shape, parts, options)
        for gates in _GATES:
            if rows % gates == 0:
                yield policy.recurrent_state(shape, gates, options)
    yield from _directions_of_zeros(shape)


def _projections(tensor: _Tensor) -> Iterator[Rule]:
    """Yield queries, keys and values in one weight, one after the other or head by head.

    Keys and values are as many, and no more than queries. Where they are 0, what is not tells how
    many queries there are; else those are taken for a third, or for as many as the inputs.
    """
    shape, nonzeros = tensor.info.shape, tensor.summary.nonzeros
    for transposed in (False, True) if len(shape) == 2 else (False,):
        fan_out, fan_in = (shape[1], shape[0]) if transposed else shape[:2]
        for queries in dict.fromkeys((fan_out // 3, fan_in, nonzeros, nonzeros // fan_in)):
            keys = (fan_out - queries) // 2
            if queries + 2 * keys != fan_out or not 0 < keys <= queries:
                continue
            for blocks in _divisors(math.gcd(queries, keys)):
                rows = queries // blocks, keys // blocks
                for closed in (True, False):
                    parts = (rows[0], False), (rows[1], closed), (rows[1], closed)
                    for options in _OPTION_SETS:
                        yield policy.fused_projections(
                            shape, parts, options, blocks=blocks, transposed=transposed
                        )


def _padded_embeddings(tensor: _Tensor) -> Iterator[Rule]:
    """Yield embedding tables with a row of zeros at the tensor's first unexpected zero."""
    shape = tensor.info.shape
    for options in _OPTION_SETS:
        table = policy.embedding(shape, None, options)
        away = _departure(table, tensor) if _allows(table, tensor, zeros=shape[1]) else None
        if away is not None and away.first_zero is not None:
            yield policy.embedding(shape, away.first_zero // shape[1], options)


def _kernels(tensor: _Tensor) -> Iterator[Rule]:
    """Yield convolutions, also in groups, patches, and position tables of more dimensions."""
    shape = tensor.info.shape
    divisors = _divisors(shape[0])
    # Some expansions in groups have the bytes of smaller identities, or of one whole expansion.
    identities = (groups for groups in divisors if shape[0] // groups <= shape[1])
    yield from (policy.convolution(shape, groups, _OPTION_SETS[0]) for groups in identities)
    yield from (policy.convolution(shape, 1, options) for options in _OPTION_SETS)
    box = _tap_box(tensor)
    for options in _OPTION_SETS:
        yield policy.patch_convolution(shape, options)
        yield policy.position_table(shape, options)
        for groups in divisors:
            yield policy.convolution(shape, groups, options)
            if box is not None:
                yield policy.transposed_convolution(shape, _upsampling(groups, box), options)


def _stacks(shape: Shape) -> Iterator[Rule]:
    """Stacks of matrices, in either layout, and fused ones."""
    height, width = shape[-2:]
    for options in _OPTION_SETS:
        for transposed, rows in ((False, height), (True, width)):
            for parts in (1, *_FUSED_PARTS):
                if rows % parts == 0:
                    yield policy.stack_of_linear(shape, options, parts=parts, transposed=transposed)
    yield from _directions_of_zeros(shape)


def _directions_of_zeros(shape: Shape) -> Iterator[Rule]:
    """What weight norm stores of a weight of 0; of another, where no slice is 0, the weight."""
    for dim in range(len(shape)):
        yield parametrizations.weight_norm_direction(Zeros(), shape, dim)


def _upsampling(groups: int, box: tuple[Range, ...]) -> policy.Geometry:
    """Return a geometry whose upsampling covers a box of taps."""
    return policy.Geometry(
        groups=groups,
        stride=tuple(last - first for first, last in box),
        padding=tuple(first for first, _ in box),
        dilation=(1,) * len(box),
    )


def _divisors(number: int) -> tuple[int, ...]:
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return tuple(sorted({*small, *(number // divisor for divisor in small)}))


def _tap_box(tensor: _Tensor) -> tuple[Range, ...] | None:
    """Return first and last + 1 nonzero tap in each dimension, of the first kernel that has any.

    A pattern that occurs once, and is not 1, is taken for an edit and not looked at.
    """
    kernel_shape = tensor.info.shape[2:]
    size = math.prod(kernel_shape)
    one = Elements(dtype=tensor.info.dtype).one
    frequent = {
        pattern: occurrence.first
        for pattern, occurrence in tensor.summary.patterns.items()
        if pattern and (occurrence.count > 1 or pattern == one)
    }
    if not frequent or size > _MOST_TAPS:
        return None
    kernel = tensor.read(min(frequent.values()) // size * size, size)
    taps = np.flatnonzero(np.isin(kernel, np.array(sorted(frequent), kernel.dtype)))
    axes = np.unravel_index(taps, kernel_shape)
    return tuple((int(axis.min()), int(axis.max()) + 1) for axis in axes)


def _allows(rule: Rule, tensor: _Tensor, zeros: int = 0) -> bool:
    """Tell whether the summary lets a tensor be a rule's, but for a few elements.

    Args:
        rule: a candidate.
        tensor: with its summary.
        zeros: elements beyond these that may be 0 where the rule's are not.
    """
    patterns, elements = tensor.summary.patterns, Elements(dtype=tensor.info.dtype)
    missing = rule.nonzeros(tensor.info.shape) - tensor.summary.nonzeros
    if not -tensor.most <= missing <= tensor.most + zeros:
        return False
    # A matrix whose constant does not occur is not computed: it may need a large table.
    constants = map(elements.power, rule.half_exponents())
    return not any(
        patterns.keys().isdisjoint((constant, constant | elements.sign)) for constant in constants
    )


def _departure(rule: Rule, tensor: _Tensor) -> Departure | None:
    """Find where the tensor departs from a rule; None where every element is the rule's.

    The comparison ends early where more than a few elements differ.
    """
    shape = tensor.info.shape
    head = _compare_regions(rule, tensor, [next(regions(shape, _HEAD))])
    if head is not None and head.count > tensor.most:
        return head
    return _compare_regions(rule, tensor, regions(shape, BLOCK_BYTES // tensor.info.dtype.itemsize))


def _compare_regions(rule: Rule, tensor: _Tensor, parts: Iterable[Region]) -> Departure | None:
    """Compare regions that follow each other from the tensor's first element on."""
    count, position = 0, 0
    first: tuple[int, int, int] | None = None
    first_zero: int | None = None
    for region in parts:
        expected = region_values(rule, tensor.info.shape, tensor.info.dtype, region).reshape(-1)
        found = tensor.read(position, expected.size)
        if not np.array_equal(expected, found):
            differing = np.flatnonzero(expected != found)
            zeros = differing[found[differing] == 0]
            count += differing.size
            if first is None:
                at = int(differing[0])
                first = position + at, int(expected[at]), int(found[at])
            if first_zero is None and zeros.size:
                first_zero = position + int(zeros[0])
        position += expected.size
        if count > tensor.most:
            break
    if first is None:
        return None
    index, planned, stored = first
    return Departure(
        rule=rule,
        count=count,
        first=index,
        expected=planned,
        found=stored,
        first_zero=first_zero,
    )

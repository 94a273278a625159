"""Every rule restated entry by entry, and tensors of all rules to hold it against."""

import math
import re

import numpy as np
import torch
from hypothesis import strategies as st

from zeroinit_cli.dtypes import F32, DType
from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps
from zeroinit_cli.plans.layouts import (
    Groups,
    Interleaved,
    Mirrored,
    Scaled,
    Split,
    Transposed,
    Viewed,
    ZeroRow,
)
from zeroinit_cli.plans.norms import Directions, Norms
from zeroinit_cli.plans.rules import Constant, Hadamard, Identity, Ones, Rule, Twisted, Zeros
from zeroinit_cli.plans.values import region_values


def whole(rule: Rule, shape: tuple[int, ...], dtype: DType = F32, **kept: bytes) -> torch.Tensor:
    """All entries of a tensor by a rule."""
    bits = region_values(rule, shape, dtype, tuple((0, size) for size in shape), kept)
    data = bytearray(bits.tobytes())
    if not data:
        return torch.zeros(shape, dtype=getattr(torch, dtype.name))
    return torch.frombuffer(data, dtype=getattr(torch, dtype.name)).reshape(shape)


def entry(rule: Rule, shape: tuple[int, ...], index: tuple[int, ...]) -> float:
    """One entry, straight from the definitions in docs/format.md."""
    match rule:
        case Zeros():
            return 0.0
        case Ones():
            return 1.0
        case Constant(value=value):
            return value
        case Identity():
            return float(index[0] == index[1])
        case Hadamard(half_exponent=half_exponent):
            sign = -1 if bin(index[0] & index[1]).count("1") % 2 else 1
            return float(sign * 2 ** (half_exponent / 2))
        case Twisted(block=block, prime=prime, half_exponent=half_exponent):
            residue = (index[0] - index[0] % block + index[1]) % prime
            square = residue == 0 or pow(residue, (prime - 1) // 2, prime) == 1
            odd = bin(index[0] & index[1]).count("1") + (not square) + (index[0] == 0)
            return float((-1) ** odd * 2 ** (half_exponent / 2))
        case Mirrored(of=of):
            return entry(of, shape, (index[0], shape[1] - 1 - index[1]))
        case Scaled(half_exponent=half_exponent, of=of):
            return float(2 ** (half_exponent / 2)) * entry(of, shape, index)
        case Viewed(rows=rows, of=of):
            flat = int(np.ravel_multi_index(index, shape))
            columns = math.prod(shape) // rows
            return entry(of, (rows, columns), divmod(flat, columns))
        case Taps(ranges=ranges, of=of):
            spatial = zip(index[2:], ranges, strict=True)
            inside = all(first <= position < last for position, (first, last) in spatial)
            return entry(of, shape[:2], index[:2]) if inside else 0.0
        case CentredTaps(of=of, signs=signs):
            taps, centre = math.prod(shape[2:]), tuple(size // 2 for size in shape[2:])
            numbers = [int(np.ravel_multi_index(each, shape[2:])) for each in (index[2:], centre)]
            here, middle = (entry(signs, (shape[0], taps), (index[0], each)) for each in numbers)
            least = abs(here) * (2 if index[2:] == centre else 1)
            return entry(of, shape[:2], index[:2]) * math.copysign(least, here * middle)
        case BlockMeans(grid=grid, half_exponent=half_exponent):
            blocks = zip(index[2:], grid, shape[2:], strict=True)
            own = tuple(tap * count // size for tap, count, size in blocks)
            column, block = index[0] % shape[1], index[0] // shape[1]
            chosen = index[1] == column and np.ravel_multi_index(own, grid) == block
            return float(2 ** (half_exponent / 2)) if chosen else 0.0
        case Groups(count=count, of=of):
            rows = shape[0] // count
            return entry(of, (rows, *shape[1:]), (index[0] % rows, *index[1:]))
        case Split(parts=parts):
            start = 0
            for rows, of in parts:
                if index[0] < start + rows:
                    return entry(of, (rows, *shape[1:]), (index[0] - start, *index[1:]))
                start += rows
            raise AssertionError(index)
        case Interleaved(blocks=blocks, parts=parts):
            block, place = divmod(index[0], shape[0] // blocks)
            for rows, of in parts:
                if place < rows:
                    part = (blocks * rows, *shape[1:])
                    return entry(of, part, (block * rows + place, *index[1:]))
                place -= rows
            raise AssertionError(index)
        case Transposed(of=of):
            swapped = (shape[1], shape[0], *shape[2:])
            return entry(of, swapped, (index[1], index[0], *index[2:]))
        case ZeroRow(row=row, of=of):
            return 0.0 if index[0] == row else entry(of, shape, index)
        case Norms(shape=other, dim=dim, of=of):
            number = int(np.ravel_multi_index(index, shape)) if index else 0
            return math.sqrt(
                math.fsum(entry(of, other, at) ** 2 for at in sliced(other, dim, number))
            )
        case Directions(dim=dim, of=of):
            places = sliced(shape, dim, 0 if dim is None else index[dim])
            if any(entry(of, shape, at) for at in places):
                return entry(of, shape, index)
            return float(index == places[0])
    raise AssertionError(rule)


def sliced(shape: tuple[int, ...], dim: int | None, number: int) -> list[tuple[int, ...]]:
    """The indices of a slice, in C order."""
    return [at for at in np.ndindex(shape) if dim is None or at[dim] == number]


def hadamard(half_exponent: int) -> Hadamard:
    return Hadamard(half_exponent=half_exponent)


@st.composite
def laid_out_tensors(draw: st.DrawFn, most: int) -> tuple[Rule, tuple[int, ...]]:
    """A rule and a shape that it fits, nested as the policy nests them, of matrices so large."""
    rows = draw(st.integers(1, most))
    shape: tuple[int, ...] = (rows, draw(st.integers(1, most)))
    leaves: list[Rule] = [
        Zeros(),
        Ones(),
        Constant(value=-0.3),
        Identity(),
        *map(hadamard, (-5, -4)),
    ]
    leaves += [
        Twisted(block=block, prime=prime, half_exponent=-3)
        for block, prime in ((32, 23), (32, 31), (2, 31))
        if block >= shape[1]
    ]
    rule = draw(st.sampled_from(leaves))
    if draw(st.booleans()):
        rule = Mirrored(of=rule)
    if draw(st.booleans()):
        rule = ZeroRow(row=draw(st.integers(0, rows - 1)), of=rule)
    if draw(st.booleans()):
        tails = [(shape[1],), (1, shape[1]), (shape[1], 1)]
        tails += [(shape[1] // 2, 2)] if shape[1] % 2 == 0 else []
        heads: list[tuple[int, ...]] = [(rows,), (1, rows)]
        heads += [(rows // 3, 3)] if rows % 3 == 0 else []
        viewed = (*draw(st.sampled_from(heads)), *draw(st.sampled_from(tails)))
        return Viewed(rows=rows, of=rule), viewed
    if draw(st.booleans()):
        kernel = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
        bounds = [sorted(draw(st.tuples(st.integers(0, k), st.integers(0, k)))) for k in kernel]
        grid = tuple(draw(st.integers(1, size)) for size in kernel)
        blocks = math.prod(grid)
        kernels: list[Rule] = [
            Taps(ranges=tuple((a, b) for a, b in bounds), of=rule),
        ]
        if "'constant'" not in str(rule.to_json()):
            signs = Twisted(block=64, prime=67, half_exponent=-3)
            kernels.append(CentredTaps(of=rule, signs=signs))
        if rows <= blocks * shape[1]:
            kernels.append(BlockMeans(grid=grid, half_exponent=-3))
        rule, shape = draw(st.sampled_from(kernels)), (*shape, *kernel)
    if draw(st.booleans()):
        rule, shape = Transposed(of=rule), (shape[1], shape[0], *shape[2:])
    if draw(st.booleans()):
        count = draw(st.integers(1, 6))
        rule, shape = Groups(count=count, of=rule), (shape[0] * count, *shape[1:])
    elif draw(st.booleans()):
        other = draw(st.integers(1, 5))
        parts = ((shape[0], rule), (other, Zeros()), (shape[0], rule))
        rule, shape = Split(parts=parts), (2 * shape[0] + other, *shape[1:])
    elif draw(st.booleans()):
        blocks = draw(st.sampled_from([each for each in range(1, 7) if shape[0] % each == 0]))
        own, other = shape[0] // blocks, draw(st.integers(1, 3))
        parts = ((own, rule), (other, Zeros()), (own, rule))
        rule = Interleaved(blocks=blocks, parts=parts)
        shape = (blocks * (2 * own + other), *shape[1:])
    if "'constant'" not in str(rule.to_json()) and draw(st.booleans()):
        rule = Scaled(half_exponent=draw(st.integers(-9, 2)), of=rule)
    return rule, shape


@st.composite
def normed_tensors(draw: st.DrawFn) -> tuple[Rule, tuple[int, ...]]:
    """Norms or directions of a small tensor's slices: restating an entry costs a whole slice."""
    rule, shape = draw(
        laid_out_tensors(6).filter(
            lambda drawn: (
                math.prod(drawn[1]) <= 150
                and not re.search("'(constant|scaled)'", str(drawn[0].to_json()))
            )
        )
    )
    dim = draw(st.none() | st.integers(0, len(shape) - 1))
    if draw(st.booleans()):
        return Directions(dim=dim, of=rule), shape
    alone = st.lists(st.just(1), max_size=2).map(tuple)
    numbers = () if dim is None else (shape[dim],)
    return Norms(shape=shape, dim=dim, of=rule), (*draw(alone), *numbers, *draw(alone))


def ruled_tensors() -> st.SearchStrategy[tuple[Rule, tuple[int, ...]]]:
    """A rule of any kind and a shape that it fits."""
    return st.one_of(laid_out_tensors(20), laid_out_tensors(20), normed_tensors())

"""Tensors in memory, for recognition to read."""

import numpy as np

from zeroinit_cli.commands.recognize import Recognized, recognize
from zeroinit_cli.commands.tensor_numbers import pattern_type
from zeroinit_cli.commands.tensor_summary import Read, Summary, summarize
from zeroinit_cli.dtypes import F32, DType
from zeroinit_cli.plans.plan import TensorInfo
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.rules import Rule
from zeroinit_cli.plans.values import region_values

MOST_READ = 1 << 20  # elements: no read asks for more than a block, or a large kernel


def bits_of(rule: Rule, shape: tuple[int, ...], dtype: DType = F32) -> Bits:
    """All of a tensor's patterns."""
    return region_values(rule, shape, dtype, tuple((0, size) for size in shape))


def reader(bits: Bits) -> Read:
    """Reads from memory, into one buffer, as a file is read."""
    flat = bits.reshape(-1)
    buffer = np.empty(min(flat.size, MOST_READ), flat.dtype)

    def read(start: int, count: int) -> Bits:
        assert start >= 0
        assert start + count <= flat.size
        buffer[:count] = flat[start : start + count]
        return buffer[:count]

    return read


def recognized(
    bits: Bits, dtype: DType = F32, shape: tuple[int, ...] | None = None
) -> tuple[Recognized, Summary]:
    """What a tensor is."""
    info = TensorInfo(name="x", shape=bits.shape if shape is None else shape, dtype=dtype)
    patterns = bits.view(pattern_type(dtype))
    summary = summarize(info, patterns.size, reader(patterns))
    return recognize(info, summary, reader(patterns)), summary

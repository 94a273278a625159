"""Two sides that cut their bytes differently are compared all the same."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zeroinit_cli.store.contents import aligned
from zeroinit_cli.store.hashing import Buffer


def cut(data: bytes, places: list[int]) -> Iterator[Buffer]:
    """Blocks in one buffer, each valid only until the next."""
    buffer = np.empty(len(data), np.uint8)
    bounds = sorted({0, *(place for place in places if place < len(data)), len(data)})
    for start, end in pairwise(bounds):
        buffer[:] = 0xEE
        block = buffer[: end - start]
        block[:] = np.frombuffer(data[start:end], np.uint8)
        yield block


PLACES = st.lists(st.integers(1, 60), max_size=8)


@given(data=st.binary(max_size=60), first=PLACES, second=PLACES)
def test_pairs_of_blocks_are_equally_long_and_nothing_is_left_out(
    data: bytes, first: list[int], second: list[int]
) -> None:
    """Whatever the cuts: concatenated, either side of the pairs is the whole."""
    other = bytes(byte ^ 0xFF for byte in data)
    left = right = b""
    for one, two in aligned(cut(data, first), cut(other, second)):
        assert 0 < one.size == two.size
        left += one.tobytes()
        right += two.tobytes()
    assert (left, right) == (data, other)

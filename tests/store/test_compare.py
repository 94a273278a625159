"""Differences between a file and a plan are found, counted and placed."""

from pathlib import Path

import numpy as np
import pytest

from tests.plans import plan, tensor
from zeroinit_cli.atomic import guarded
from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.errors import InputError
from zeroinit_cli.plans.rules import Hadamard, Identity, Zeros
from zeroinit_cli.store import compare
from zeroinit_cli.store.compare import compare_with_plan
from zeroinit_cli.store.diff import element_text
from zeroinit_cli.store.stream import plan_header
from zeroinit_cli.store.write import write_checkpoint

PLAN = plan(
    tensor("eye", (600, 600), Identity()),
    tensor("wide", (1000, 300), Hadamard(half_exponent=-10)),
    tensor("zeros", (100_000,), Zeros()),
    tensor("count", (), dtype="I64"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    with guarded(path):
        write_checkpoint(PLAN, path)
    return path


def test_the_same_bytes_are_the_same(path: Path) -> None:
    assert compare_with_plan(PLAN, path).same


@pytest.mark.parametrize(
    ("name", "flat", "index", "expected", "found"),
    [
        ("eye", 0, (0, 0), "1.0", "-1.0"),
        ("eye", 600 * 600 - 1, (599, 599), "1.0", "-1.0"),
        ("wide", 299_999, (999, 299), "0.03125", "-0.03125"),
        ("zeros", 77_777, (77_777,), "0.0", "-0.0"),
        ("count", 0, (), "1", "-9223372036854775807"),
    ],
)
def test_one_flipped_sign_is_found(
    path: Path, name: str, flat: int, index: tuple[int, ...], expected: str, found: str
) -> None:
    offset = len(plan_header(PLAN))
    for each in PLAN.tensors:
        if each.info.name == name:
            offset += (flat + 1) * each.info.dtype.itemsize - 1
            break
        offset += each.info.nbytes
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x80
    path.write_bytes(data)
    comparison = compare_with_plan(PLAN, path)
    [difference] = comparison.differences
    assert not comparison.problems
    assert (difference.info.name, difference.count, difference.index) == (name, 1, index)
    assert (difference.expected, difference.found) == (expected, found)


def test_no_single_bit_of_a_file_can_change_unseen(tmp_path: Path) -> None:
    """Every bit of header and data, one after the other."""
    small = plan(
        tensor("eye", (4, 4), Identity()),
        tensor("wide", (9, 2), Hadamard(half_exponent=-4), "BF16"),
        tensor("zeros", (3,), Zeros()),
    )
    path = tmp_path / "x.safetensors"
    with guarded(path):
        write_checkpoint(small, path)
    sound = path.read_bytes()
    for position in range(len(sound)):
        for bit in range(8):
            data = bytearray(sound)
            data[position] ^= 1 << bit
            path.write_bytes(data)
            comparison = compare_with_plan(small, path)
            assert not comparison.same, (position, bit)
            header = len(plan_header(small))
            if position < header:
                assert comparison.problems[0] == f"header: differs from byte {position} on"
            else:
                [difference] = comparison.differences
                assert difference.count == 1


def test_all_differing_elements_are_counted_across_blocks(path: Path) -> None:
    data = np.fromfile(path, np.uint8)
    data[len(plan_header(PLAN)) + 8 :] ^= 1  # all but the counter, which comes first
    data.tofile(path)
    counts = {
        difference.info.name: difference.count
        for difference in compare_with_plan(PLAN, path).differences
    }
    assert counts == {"eye": 360_000, "wide": 300_000, "zeros": 100_000}


def test_a_header_of_another_layout_is_compared_tensor_by_tensor(path: Path) -> None:
    other = plan(*(t for t in PLAN.tensors if t.info.name != "eye"), tensor("extra", (5,)))
    comparison = compare_with_plan(other, path)
    assert comparison.differences == ()
    assert comparison.problems == (
        f"size: expected {comparison.expected_size} bytes, found {comparison.size}",
        "header: differs from byte 0 on",
        "tensor 'extra': missing",
        "tensor 'eye': not planned",
    )


def test_a_mismatch_that_is_gone_when_it_is_to_be_explained_is_no_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_compare_block", lambda *arguments: False)
    with pytest.raises(InputError) as caught:
        compare_with_plan(PLAN, path)
    assert (caught.value.problem, caught.value.where) == (
        "the file changed while it was read",
        str(path),
    )


@pytest.mark.parametrize("keep", [0, 5, 8, 100, 3000, -1])
def test_a_truncated_file_is_reported_never_an_error(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    comparison = compare_with_plan(PLAN, path)
    assert not comparison.same
    assert comparison.problems[0].startswith("size: expected ")


def test_one_byte_more_is_not_the_same(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\0")
    comparison = compare_with_plan(PLAN, path)
    assert comparison.problems[0] == f"size: expected {size} bytes, found {size + 1}"
    assert comparison.differences == ()


@pytest.mark.parametrize(
    ("code", "data", "text"),
    [
        ("F32", "0000803f", "1.0"),
        ("BF16", "803f", "1.0"),
        ("F16", "003c", "1.0"),
        ("F64", "000000000000f03f", "1.0"),
        ("F32", "0000c07f", "nan (0x7fc00000)"),
        ("BF16", "c07f", "nan (0x7fc0)"),
        ("I8", "ff", "-1"),
        ("BOOL", "01", "true"),
        ("BOOL", "07", "0x07"),
        ("F8_E4M3", "38", "0x38"),
        ("F4", "21", "0x21"),
        ("C64", "0000803f00000040", "(1+2j)"),
    ],
)
def test_elements_are_shown_as_people_read_them(code: str, data: str, text: str) -> None:
    assert element_text(bytes.fromhex(data), DTYPES[code]) == text

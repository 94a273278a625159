"""The file is what safetensors' own writer gives for the same tensors, byte for byte."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plans import kept, plan, tensor
from zeroinit_cli.atomic import guarded
from zeroinit_cli.dtypes import DTYPES, INTEGERS
from zeroinit_cli.filenames import sha256sum_line
from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rules import Hadamard, Identity, Zeros
from zeroinit_cli.store.stream import data_blocks, plan_header, plan_sha256, plan_size
from zeroinit_cli.store.write import write_checkpoint

WRITABLE = sorted(["F64", "F32", "F16", "BF16", *(dtype.code for dtype in INTEGERS)])


def written(made: Plan, folder: Path) -> bytes:
    path = folder / "made.safetensors"
    with guarded(path):
        sha256 = write_checkpoint(made, path)
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256 == plan_sha256(made)
    assert len(data) == plan_size(made)
    return data


def saved(tensors: dict[str, torch.Tensor]) -> bytes:
    return safetensors.torch.save(tensors, metadata={"format": "pt"})


def test_an_empty_plan_is_an_empty_checkpoint(tmp_path: Path) -> None:
    assert written(plan(), tmp_path) == saved({})


def test_order_is_by_type_then_by_name_whatever_order_they_are_planned_in(tmp_path: Path) -> None:
    names = ["b", "a", "Z", "é", "ß", "\N{SNOWMAN}", "a.10", "a.9", "\U0001f600", "\uffff"]
    planned = [tensor(f"{name}{code}", (2,), dtype=code) for name in names for code in WRITABLE]
    tensors = {
        each.info.name: torch.ones(2, dtype=getattr(torch, each.info.dtype.name))
        for each in planned
    }
    assert written(plan(*planned), tmp_path) == saved(tensors)
    assert written(plan(*reversed(planned)), tmp_path) == saved(tensors)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name != "__metadata__"
)


@st.composite
def kept_tensors(draw: st.DrawFn) -> tuple[Plan, dict[str, torch.Tensor]]:
    """Tensors of any name, type and shape, zero elements included, with bytes of any value."""
    planned: list[PlannedTensor] = []
    values: list[bytes] = []
    tensors: dict[str, torch.Tensor] = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        dtype = DTYPES[draw(st.sampled_from(WRITABLE))]
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
        nbytes = math.prod(shape) * dtype.itemsize
        element = st.integers(0, 1) if dtype.code == "BOOL" else st.integers(0, 255)
        data = bytes(draw(st.lists(element, min_size=nbytes, max_size=nbytes)))
        planned.append(tensor(name, shape, kept(data), dtype.code))
        values.append(data)
        raw = torch.tensor(list(data), dtype=torch.uint8)
        tensors[name] = raw.view(getattr(torch, dtype.name)).reshape(shape)
    return plan(*planned, kept=tuple(values)), tensors


@given(made=kept_tensors(), block_bytes=st.sampled_from([8, 24, 64, 1 << 20]))
@settings(max_examples=300, deadline=None)
def test_any_tensors_are_written_as_safetensors_writes_them(
    made: tuple[Plan, dict[str, torch.Tensor]], block_bytes: int
) -> None:
    """The bytes are the library's own, whatever size of block they are computed in."""
    planned, tensors = made
    expected = saved(tensors)
    assert plan_sha256(planned, block_bytes=block_bytes) == hashlib.sha256(expected).hexdigest()
    assert expected.startswith(plan_header(planned))


def test_a_real_mix_of_rules_is_written_as_safetensors_writes_it(tmp_path: Path) -> None:
    zeros = Split(parts=((300, Identity()), (300, Zeros()), (300, Zeros())))
    planned = plan(
        tensor("eye", (300, 300), Identity()),
        tensor("qkv", (900, 300), zeros),
        tensor("wide", (1000, 600), Hadamard(half_exponent=-10)),
        tensor("nothing", (0, 5), Zeros()),
        tensor("scalar", (), dtype="I64"),
        tensor("end", (100_000,), Zeros(), dtype="I8"),
    )
    grid = torch.arange(1000)[:, None] & torch.arange(600)[None, :]
    parity = torch.stack([(grid >> bit) & 1 for bit in range(10)]).sum(0) % 2
    tensors = {
        "eye": torch.eye(300),
        "qkv": torch.cat([torch.eye(300), torch.zeros(600, 300)]),
        "wide": (1.0 - 2.0 * parity) / 32,
        "nothing": torch.zeros(0, 5),
        "scalar": torch.tensor(1),
        "end": torch.zeros(100_000, dtype=torch.int8),
    }
    assert written(planned, tmp_path) == saved(tensors)


def test_long_zeros_take_no_room_on_disk(tmp_path: Path) -> None:
    size = 64 << 20
    written(plan(tensor("zeros", (size // 4,), Zeros())), tmp_path)
    status = (tmp_path / "made.safetensors").stat()
    assert status.st_size > size
    if status.st_blocks * 512 > size // 2:
        pytest.fail("zeros were written out; does this file system have no holes?")


def test_long_zeros_are_one_block_and_small_tensors_share_one() -> None:
    small = [tensor(f"small{i}", (10,)) for i in range(100)]
    planned = plan(*small, tensor("zeros", (1 << 20,), Zeros(), "I8"))
    blocks = list(data_blocks(planned, lambda: np.empty(1 << 20, np.uint8)))
    assert [block if isinstance(block, int) else block.nbytes for block in blocks] == [
        4000,
        1 << 20,
    ]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("init.safetensors", b"ab  init.safetensors\n"),
        ("with space", b"ab  with space\n"),
        ("back\\slash", b"\\ab  back\\\\slash\n"),
        ("new\nline", b"\\ab  new\\nline\n"),
        ("return\r", b"\\ab  return\\r\n"),
    ],
)
def test_sidecar_lines_are_escaped_as_sha256sum_does(name: str, line: bytes) -> None:
    assert sha256sum_line(name, "ab") == line

"""The rooms without torch, by hand-made plans: also run under Pythons that have no torch."""

import hashlib
from pathlib import Path

from tests.plans import plan, tensor
from zeroinit_cli.atomic import guarded
from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps
from zeroinit_cli.plans.layouts import Groups, Split, Viewed
from zeroinit_cli.plans.rules import Hadamard, Identity, Twisted, Zeros
from zeroinit_cli.store.compare import compare_with_plan
from zeroinit_cli.store.stream import plan_sha256
from zeroinit_cli.store.write import write_checkpoint

PLAN = plan(
    tensor("eye", (300, 400), Identity()),
    tensor("wide", (1000, 64), Hadamard(half_exponent=-10), "BF16"),
    tensor("twisted", (100, 20), Twisted(block=32, prime=103, half_exponent=-7), "F16"),
    tensor("deep", (64, 1, 3, 3), Groups(count=64, of=Taps(ranges=((1, 2),) * 2, of=Identity()))),
    tensor("blocks", (100, 3, 7, 7), BlockMeans(grid=(6, 6), half_exponent=-2), "BF16"),
    tensor(
        "centred",
        (70, 40, 3, 3),
        CentredTaps(
            of=Twisted(block=64, prime=71, half_exponent=-7),
            signs=Twisted(block=16, prime=71, half_exponent=-4),
        ),
    ),
    tensor("patch", (8, 3, 2, 2), Viewed(rows=8, of=Identity()), "F64"),
    tensor("qkv", (96, 32), Split(parts=((32, Identity()), (64, Zeros())))),
    tensor("count", (), dtype="I64"),
)
SHA256 = "0be2224b67570f87575b5b88d71a0c0a7d5ed0bf1b097e9c97f73fc15d4218b2"


def test_the_bytes_are_the_same_under_every_python(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with guarded(path):
        assert write_checkpoint(PLAN, path) == SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert compare_with_plan(PLAN, path).same
    assert {plan_sha256(PLAN, block_bytes=size) for size in (64, 4096, 1 << 20)} == {SHA256}

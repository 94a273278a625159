"""Small plans for tests that need no architecture."""

import hashlib

from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.plans import Kept, Ones, Plan, PlannedTensor, Rule, TensorInfo


def tensor(
    name: str, shape: tuple[int, ...], rule: Rule | None = None, dtype: str = "F32"
) -> PlannedTensor:
    """A tensor of ones, or by another rule."""
    return PlannedTensor(
        info=TensorInfo(name=name, shape=shape, dtype=DTYPES[dtype]),
        rule=rule or Ones(),
        reason="a test",
        module_type="Test",
    )


def plan(*tensors: PlannedTensor, kept: tuple[bytes, ...] = ()) -> Plan:
    """A plan of these tensors, with kept values by their digests."""
    return Plan(tensors=tensors, kept={hashlib.sha256(data).hexdigest(): data for data in kept})


def kept(data: bytes) -> Kept:
    """The rule that keeps these bytes."""
    return Kept(sha256=hashlib.sha256(data).hexdigest())

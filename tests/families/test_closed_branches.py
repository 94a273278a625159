"""What each family's residual branches add before the first step: run, not derived.

The model runs on concrete values, and the operand of each add is looked at as it is computed. That
it is exactly 0 does not depend on the picture; that something not 0 goes into the step that closes
the branch, so that the 0 is of that step's making, is asserted with it.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from evidence.branches import BranchValue, State, branch_values
from evidence.starts import zero_start
from tests.models.models import planned
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.structure import find_structure
from zeroinit_cli.policies import DEFAULT

CLOSING = replace(DEFAULT, last_norm=0.0, last_weight=0.0)
"""The default, but that norms which end a branch close it: then what comes before is exactly 0."""

_BOTH = (False, True)  # evaluation, and training, where batch norm needs more than one value
_EVALUATION = (False,)  # where no batch norm makes a difference, and a forward takes seconds
_IMAGE = (2, 3, 64, 64)
_RAFT = {"convnormrelu3.2 (ReLU) stands before the add and is dead at 0": 6}
# model, the part that is run, its input, modes, closed branches, those of a layer scale, open ones
FAMILIES: list[tuple[str, str, tuple[int, ...], tuple[bool, ...], int, int, dict[str, int]]] = [
    ("resnet18", "", _IMAGE, _BOTH, 8, 0, {}),
    ("resnet50", "", _IMAGE, _BOTH, 16, 0, {}),
    ("resnext50_32x4d", "", _IMAGE, _BOTH, 16, 0, {}),
    ("regnet_y_400mf", "", _IMAGE, _BOTH, 16, 0, {}),
    ("mobilenet_v2", "", _IMAGE, _BOTH, 10, 0, {}),
    ("mobilenet_v3_small", "", _IMAGE, _BOTH, 6, 0, {}),
    ("mnasnet0_5", "", _IMAGE, _BOTH, 10, 0, {}),
    ("efficientnet_b0", "", _IMAGE, _BOTH, 9, 0, {}),
    ("efficientnet_v2_s", "", _IMAGE, _BOTH, 35, 0, {}),
    ("convnext_tiny", "", _IMAGE, _BOTH, 0, 18, {}),
    ("vit_b_32", "", (1, 3, 224, 224), _BOTH, 24, 0, {}),
    ("swin_t", "", _IMAGE, _BOTH, 24, 0, {}),
    ("swin_v2_t", "", _IMAGE, _BOTH, 24, 0, {}),
    ("maxvit_t", "", (1, 3, 224, 224), _BOTH, 55, 0, {}),
    ("mvit_v1_b", "", (1, 3, 16, 224, 224), _EVALUATION, 32, 0, {}),
    ("mvit_v2_s", "", (1, 3, 16, 224, 224), _EVALUATION, 32, 0, {"it ends in matmul": 16}),
    ("swin3d_t", "", (1, 3, 4, 64, 64), _BOTH, 24, 0, {}),
    ("r3d_18", "", (2, 3, 4, 32, 32), _BOTH, 8, 0, {}),
    ("fasterrcnn_resnet50_fpn", "backbone", _IMAGE, _BOTH, 16, 0, {}),
    ("lraspp_mobilenet_v3_large", "", _IMAGE, _BOTH, 10, 0, {}),
    ("raft_small", "feature_encoder", _IMAGE, _BOTH, 0, 0, _RAFT),
]
SLOW = (
    "efficientnet_v2_s",
    "fasterrcnn_resnet50_fpn",
    "maxvit_t",
    "mvit_v1_b",
    "mvit_v2_s",
    "r3d_18",
    "swin3d_t",
    "swin_v2_t",
)


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is read once and deleted: no disk need see it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads on one core wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(shape: tuple[int, ...]) -> Tensor:
    """Large patches of colour and some grain, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    batch, colours, *size = shape
    patches = torch.randn((batch, colours, *(4 for _ in size)), generator=generator)
    grain = torch.randn(shape, generator=generator)
    return interpolate(patches, size, mode="nearest") + 0.1 * grain


@pytest.mark.parametrize(
    ("model", "part", "shape", "modes", "closed", "scaled", "opened"),
    [
        pytest.param(*family, id=family[0], marks=[pytest.mark.long] if family[0] in SLOW else [])
        for family in FAMILIES
    ],
)
def test_closed_branches_add_exactly_zero(
    model: str,
    part: str,
    shape: tuple[int, ...],
    modes: tuple[bool, ...],
    closed: int,
    scaled: int,
    opened: dict[str, int],
    tmp_path: Path,
) -> None:
    module = zero_start(model, planned(model, policy=CLOSING), tmp_path).get_submodule(part)
    structure = find_structure(module, "end", [Example(args=(picture(shape),))])
    for training in modes:
        values = branch_values(module.train(training), structure, picture(shape))
        assert [each for each in values if each.state is State.CLOSED and each.nonzero] == []
        assert [each for each in values if each.state is State.SCALED and not each.holds] == []
        assert [each for each in values if not 0 < each.inside < float("inf")] == []
        assert {each.scale for each in values if each.state is State.SCALED} <= {_float32(1e-6)}
        counts = Counter(each.state for each in values)
        assert (counts[State.CLOSED], counts[State.SCALED]) == (closed, scaled)
        assert reasons_of_open_ones(values) == opened


def reasons_of_open_ones(values: list[BranchValue]) -> dict[str, int]:
    opened = [each for each in values if each.state is State.OPEN]
    return dict(Counter(each.reason.removeprefix(f"{each.place}.") for each in opened))


def _float32(number: float) -> float:
    return float(torch.tensor(number))


@pytest.mark.parametrize(
    ("model", "tensor", "place"),
    [
        ("resnet18", "layer2.0.bn2.weight", "layer2.0"),
        ("swin_t", "features.1.1.attn.qkv.weight", "features.1.1"),
        ("swin_t", "features.3.0.mlp.3.weight", "features.3.0"),
    ],
)
def test_a_branch_that_is_not_closed_would_be_seen(
    model: str, tensor: str, place: str, tmp_path: Path
) -> None:
    """The test above can fail: one closing tensor is set to 1."""
    module = zero_start(model, planned(model, policy=CLOSING), tmp_path)
    torch.nn.init.ones_(module.get_parameter(tensor))
    structure = find_structure(module, "end", [Example(args=(picture(_IMAGE),))])
    values = branch_values(module.train(), structure, picture(_IMAGE))
    assert [each.place for each in values if not each.holds] == [place]

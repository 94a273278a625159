"""Every model that torchvision lists: planned, written, and loaded strictly by torch.

Six that need every rule are always written; the plans of all are pinned in tests/golden.

What is written, and what docs/check.py derives from the plan, has the digest in tests/golden/.
"""

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch

from docs import check
from tests.golden.recorded import EVERY_RULE, recorded
from tests.long import some_long
from tests.models.models import planned
from zeroinit_cli.atomic import guarded
from zeroinit_cli.models.building import build
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.sources import parse_source
from zeroinit_cli.sources.torchvision import model_names
from zeroinit_cli.store.write import write_checkpoint

NAMES = model_names()
_REAL_BYTES = 30_000_000  # up to here the model to load into is built with real weights


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen gigabytes are deleted again at once: no disk need see them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_all_models_of_the_pinned_torchvision_are_known() -> None:
    assert len(NAMES) == 121
    assert sorted(set(NAMES)) == NAMES


@pytest.mark.parametrize("name", some_long(NAMES, lambda name: name not in EVERY_RULE))
def test_a_model_is_generated_with_its_digest_and_loads_strictly(name: str, tmp_path: Path) -> None:
    plan = planned(name)
    path = tmp_path / "init.safetensors"
    with guarded(path):
        assert write_checkpoint(plan, path) == recorded("default")[name]
    assert check.derive({**plan.to_json(), "kept": dict(plan.kept)}) == recorded("default")[name]
    factory = parse_source(name).factory()
    with torch.random.fork_rng(devices=[]):
        small = plan.nbytes <= _REAL_BYTES
        model = _built(name, factory) if small else build(factory, seed=5)
    tensors = safetensors.torch.load_file(path)
    expected = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in tensors.items()} == expected
    model.load_state_dict(_versioned(tensors, model), strict=True, assign=True)
    for key, tensor in tensors.items():
        assert not torch.isnan(tensor).any(), key
        assert not torch.isinf(tensor).any(), key
    path.unlink()


def _versioned(tensors: dict[str, torch.Tensor], model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """MNASNet alone refuses a state dict without its version, which no safetensors file holds."""
    if type(model).__name__ != "MNASNet":
        return tensors
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # torch's own
    return state


def _built(name: str, factory: object) -> torch.nn.Module:
    import warnings

    assert callable(factory)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's own, about defaults
        module = factory()
    assert isinstance(module, torch.nn.Module), name
    return module


@pytest.mark.long
def test_kept_values_are_those_of_the_constructor() -> None:
    """Swin's index tables and scales, ConvNeXt's layer scale, RetinaNet's prior."""
    for name, tensor in [
        ("swin_v2_t", "features.1.0.attn.relative_position_index"),
        ("swin_v2_t", "features.1.0.attn.logit_scale"),
        ("swin_v2_t", "features.1.0.attn.relative_coords_table"),
        ("convnext_tiny", "features.1.0.layer_scale"),
        ("retinanet_resnet50_fpn", "head.classification_head.cls_logits.bias"),
        ("swin3d_t", "features.0.0.attn.relative_position_index"),
    ]:
        plan = planned(name)
        [found] = [each for each in plan.tensors if each.info.name == tensor]
        assert isinstance(found.rule, Kept), tensor
        real = parse_source(name).factory()().state_dict()[tensor]
        assert plan.kept[found.rule.sha256] == real.contiguous().numpy().tobytes(), tensor

"""A plan loaded as a checkpoint of torch.distributed.checkpoint."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

import zeroinit_cli
from tests.live.nets import Block, bits, fsdp, spoilt, untied
from tests.live.ranks import on_ranks

ALONE = pytest.mark.filterwarnings(
    "ignore:torch.distributed is disabled, unavailable or uninitialized:UserWarning"
)


def in_fsdp1(module: nn.Module) -> nn.Module:
    return FullyShardedDataParallel(
        module,
        auto_wrap_policy=ModuleWrapPolicy({Block}),
        device_id=torch.device("cpu"),
        use_orig_params=True,
    )


def in_fsdp2(module: nn.Module) -> nn.Module:
    fsdp(module, init_device_mesh("cpu", (2,)))
    return module


@pytest.mark.parametrize("shard", [in_fsdp1, in_fsdp2])
def test_what_torch_shards_it_loads(shard: Any) -> None:
    def work(rank: int) -> list[str]:
        module = shard(spoilt(untied()))
        state = get_model_state_dict(module)
        load(state, storage_reader=zeroinit_cli.plan_reader(zeroinit_cli.plan(untied)))
        set_model_state_dict(module, state)
        options = StateDictOptions(full_state_dict=True)
        found: dict[str, Any] = get_model_state_dict(module, options=options)
        whole = zeroinit_cli.init_(untied(), build=untied).state_dict()
        assert found.keys() == whole.keys()
        return [name for name in whole if bits(found[name]) != bits(whole[name])]

    assert on_ranks(2, work, backend="gloo") == [[], []]


@ALONE
def test_one_process_loads_it_too() -> None:
    state = spoilt(untied()).state_dict()
    load(state, storage_reader=zeroinit_cli.plan_reader(zeroinit_cli.plan(untied)))
    whole = zeroinit_cli.init_(untied(), build=untied).state_dict()
    assert [name for name in whole if bits(state[name]) != bits(whole[name])] == []


@ALONE
def test_a_tensor_of_another_type_is_refused_before_any_is_written() -> None:
    state = spoilt(untied()).state_dict()
    state["head.weight"] = state["head.weight"].bfloat16()
    with pytest.raises(CheckpointException) as caught:
        load(state, storage_reader=zeroinit_cli.plan_reader(zeroinit_cli.plan(untied)))
    [(error, _)] = caught.value.failures.values()
    assert str(error) == (
        "error: a tensor of another type than the plan's in head.weight\n"
        "  expected: float32\n"
        "  found: bfloat16\n"
        "\n"
        'hint: plan(build, dtype="bfloat16")'
    )
    assert all((tensor == 7).all() for tensor in state.values())


@ALONE
def test_a_tensor_that_the_plan_has_not_is_refused_by_torch() -> None:
    state = {"other": torch.ones(2)}
    with pytest.raises(CheckpointException, match="Missing key in checkpoint state_dict: other"):
        load(state, storage_reader=zeroinit_cli.plan_reader(zeroinit_cli.plan(untied)))

"""init_ on sharded and wrapped modules: the shards of what it makes of a whole one."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Partial
from torch.nn.parallel import DistributedDataParallel

import zeroinit_cli
from tests.live.nets import (
    STAGES,
    WAYS,
    Net,
    Stage,
    bits,
    fsdp,
    local,
    same_shard,
    spoilt,
    untied,
)
from tests.live.ranks import on_ranks
from zeroinit_cli.errors import PlanError

QUICK = ("FSDP2 + TP, 3 x 2, uneven", "HSDP, 2 x 2")


def unlike(module: nn.Module, whole: nn.Module) -> list[str]:
    """Names of tensors and hidden buffers that are not the shards of a whole module's."""
    expected = {**dict(whole.named_buffers()), **whole.state_dict()}
    found = {**dict(module.named_buffers()), **module.state_dict()}
    assert found.keys() == expected.keys()
    return [name for name, tensor in found.items() if not same_shard(tensor, expected[name])]


def filled(
    world: int,
    shard: Callable[[nn.Module], None],
    build: Callable[[], nn.Module],
    dtype: torch.dtype = torch.float32,
    *,
    on_meta: bool = False,
    only: Sequence[int] | None = None,
) -> list[Any]:
    """What of a sharded module is not as it should be, by rank."""
    whole = zeroinit_cli.init_(build().to(dtype), build=build)

    def work(rank: int) -> list[str]:
        with torch.device("meta" if on_meta else "cpu"):
            module = build().to(dtype)
        shard(module)
        if on_meta:
            module.to_empty(device="cpu")
        zeroinit_cli.init_(spoilt(module), build=build)
        return unlike(module, whole)

    return on_ranks(world, work, only=only)


@pytest.mark.parametrize("way", QUICK)
def test_the_first_and_the_last_rank_get_their_shards_of_the_whole(way: str) -> None:
    world, shard = WAYS[way]
    only = (0, world - 1)
    assert filled(world, shard, lambda: Net(tied="TP" not in way), only=only) == [[], []]


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS)
def test_every_rank_gets_its_shards_of_the_whole(way: str) -> None:
    world, shard = WAYS[way]
    # tensor parallelism parts ties: a net without
    assert filled(world, shard, lambda: Net(tied="TP" not in way)) == [[]] * world


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_each_type_gets_its_own_bytes(dtype: torch.dtype) -> None:
    world, shard = WAYS["FSDP2, 2"]
    assert filled(world, shard, Net, dtype, only=(1,)) == [[]]


def test_a_module_that_was_made_on_meta_gets_its_values_and_hidden_buffers() -> None:
    world, shard = WAYS["FSDP2, 2"]
    assert filled(world, shard, untied, on_meta=True, only=(1,)) == [[]]


def test_stages_of_a_pipeline_get_their_part_sharded_too() -> None:
    whole = zeroinit_cli.init_(untied(), build=untied).state_dict()

    def work(rank: int) -> list[str]:
        stage = Stage(untied(), STAGES[rank // 2])
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("stage", "data"))
        fully_shard(stage, mesh=mesh["data"])
        zeroinit_cli.init_(spoilt(stage), build=untied, part=True)
        state = stage.state_dict()
        return [name for name, tensor in state.items() if not same_shard(tensor, whole[name])]

    assert on_ranks(4, work, only=(1, 2)) == [[], []]


def wrapped(module: nn.Module) -> dict[str, Callable[[int], nn.Module]]:
    """Ways to wrap a module."""

    def checkpointed(rank: int) -> nn.Module:
        blocks: Any = module.get_submodule("blocks")
        for number, block in enumerate(blocks):
            blocks[number] = checkpoint_wrapper(block)
        fsdp(module, init_device_mesh("cpu", (2,)))
        return module

    def compiled(rank: int) -> nn.Module:
        fsdp(module, init_device_mesh("cpu", (2,)))
        compiled_module = torch.compile(module, backend="eager")
        assert isinstance(compiled_module, nn.Module)
        return compiled_module

    def compiled_blocks(rank: int) -> nn.Module:
        blocks: Any = module.get_submodule("blocks")
        for number, block in enumerate(blocks):
            blocks[number] = torch.compile(block, backend="eager")
        fsdp(module, init_device_mesh("cpu", (2,)))
        return module

    def in_ddp(rank: int) -> nn.Module:
        return DistributedDataParallel(module)

    return {
        "checkpoint": checkpointed,
        "compile": compiled,
        "compiled blocks": compiled_blocks,
        "DDP": in_ddp,
    }


@pytest.mark.parametrize("way", ["checkpoint", "compile", "compiled blocks", "DDP"])
def test_wrappers_leave_no_trace(way: str) -> None:
    whole = zeroinit_cli.init_(Net(), build=Net)

    def work(rank: int) -> list[str]:
        inner = Net()
        module = wrapped(inner)[way](rank)
        zeroinit_cli.init_(spoilt(module), build=Net)
        tensors: dict[str, torch.Tensor] = dict(whole.named_parameters(remove_duplicate=False))
        tensors |= dict(whole.named_buffers())
        found = {
            name.replace("_checkpoint_wrapped_module.", "").replace("_orig_mod.", ""): tensor
            for name, tensor in (
                *inner.named_parameters(remove_duplicate=False),
                *inner.named_buffers(),
            )
        }
        assert found.keys() == tensors.keys()
        return [name for name, tensor in found.items() if not same_shard(tensor, tensors[name])]

    assert on_ranks(2, work, only=(1,)) == [[]]


def test_a_compiled_module_alone_gets_its_bytes() -> None:
    inner = Net()
    module = torch.compile(inner, backend="eager")
    assert isinstance(module, nn.Module)
    zeroinit_cli.init_(spoilt(module), build=Net)
    whole = zeroinit_cli.init_(Net(), build=Net)
    assert bits(inner.mix.weight) == bits(whole.mix.weight)
    assert bits(inner.angles) == bits(whole.angles)


def test_after_a_forward_the_shards_are_filled_and_the_next_forward_sees_them() -> None:
    tokens = torch.arange(8).reshape(2, 4)

    def work(rank: int) -> tuple[list[str], bool]:
        module = Net()
        fsdp(module, init_device_mesh("cpu", (2,)))
        module(tokens)  # after which the root's tensors are left whole
        zeroinit_cli.init_(spoilt(module), build=Net)
        whole = zeroinit_cli.init_(Net(), build=Net)
        same = torch.equal(module(tokens), whole(tokens))
        return unlike(module, whole), same

    assert on_ranks(2, work, backend="gloo") == [([], True)] * 2


def test_fill_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank by itself: the other never calls, and a collective would wait for it."""

    def work(rank: int) -> list[str]:
        module = Net()
        fsdp(module, init_device_mesh("cpu", (2,)))
        torch.distributed.barrier()
        if rank == 0:
            return []
        zeroinit_cli.init_(spoilt(module), build=Net)
        return unlike(module, zeroinit_cli.init_(Net(), build=Net))

    assert on_ranks(2, work, backend="gloo") == [[], []]


def refused(
    change: Callable[[nn.Module, Any], nn.Module | None],
    build: Callable[[], nn.Module] | None = Net,
    *,
    part: bool = False,
) -> str:
    """The message about a changed module on the second of 2 ranks; nothing was written."""

    def work(rank: int) -> Any:
        module: nn.Module = Net()
        mesh = init_device_mesh("cpu", (2,))
        module = change(module, mesh) or module
        tensors = [*module.parameters(), *module.buffers()]
        before = [None if each.is_meta else local(each.detach()).clone() for each in tensors]
        try:
            zeroinit_cli.init_(module, build=build, part=part)
        except PlanError as error:
            for each, old in zip(tensors, before, strict=True):
                assert old is None or torch.equal(local(each.detach()), old)
            return str(error)
        return None

    return str(on_ranks(2, work, only=(1,))[0])


def test_tensors_on_meta_are_refused() -> None:
    def change(module: nn.Module, mesh: Any) -> nn.Module:
        # not under torch.device("meta"): torch remembers once which functions make tensors, and
        # transformers, where it loads a model first, has replaced torch.linspace meanwhile
        module = Net().to("meta")
        fsdp(module, mesh)
        return module

    assert refused(change) == (
        "error: tensors on the meta device, which hold no values in FSDPNet\n"
        "  expected: a module on the device that it is to be used on\n"
        "  found: scale, embed.weight, mix.weight, mix.bias and 14 more\n"
        "\n"
        'hint: module.to_empty(device="cpu") first, then init_ with build=lambda: Model(...)'
    )


def test_a_partial_parameter_is_refused() -> None:
    def change(module: Any, mesh: Any) -> None:
        module.mix.bias = nn.Parameter(DTensor.from_local(torch.ones(6), mesh, [Partial()]))

    assert refused(change) == (
        "error: a partial tensor, each rank of which holds a term of a sum in Net: mix.bias\n"
        "  expected: placements that shard or replicate\n"
        "  found: [Partial(sum)]\n"
        "\n"
        "hint: make it whole first: tensor.redistribute(placements=[Replicate()])"
    )


def test_a_module_in_fsdp1_is_refused() -> None:
    assert refused(
        lambda module, mesh: FullyShardedDataParallel(module, device_id=torch.device("cpu"))
    ) == (
        "error: FSDP1 has flattened the tensors into pieces that are no rectangles in "
        "FullyShardedDataParallel\n"
        "  expected: fully_shard (FSDP2), or a module that is not wrapped yet\n"
        "  found: FullyShardedDataParallel\n"
        "\n"
        "hint: initialise it before it is wrapped, or load the plan as a checkpoint: "
        "dcp.load(state, storage_reader=zeroinit_cli.plan_reader(plan))"
    )


def test_lost_ties_are_refused() -> None:
    def change(module: Any, mesh: Any) -> None:
        module.head.weight = nn.Parameter(module.head.weight.detach().clone())
        fsdp(module, mesh)

    assert refused(change) == (
        "error: parameters that build ties are not tied in FSDPNet\n"
        "  expected: one parameter under both names\n"
        "  found: head.weight is not embed.weight\n"
        "\n"
        "hint: tie them again after to_empty(), as the constructor does: "
        "module.head.weight = module.embed.weight, or module.tie_weights()"
    )


def test_shards_without_a_builder_are_refused() -> None:
    assert refused(lambda module, mesh: fsdp(module, mesh), None) == (
        "error: a part of a module, which does not tell what the whole is in FSDPNet\n"
        "  expected: a function that builds the whole module\n"
        "  found: shards and no build\n"
        "\n"
        "hint: init_(module, build=lambda: Model(...))"
    )


def test_a_part_without_a_builder_is_refused() -> None:
    assert refused(lambda module, mesh: None, None, part=True) == (
        "error: a part of a module, which does not tell what the whole is in Net\n"
        "  expected: a function that builds the whole module\n"
        "  found: part=True and no build\n"
        "\n"
        "hint: init_(module, build=lambda: Model(...))"
    )


def test_a_part_that_is_not_said_to_be_one_is_refused() -> None:
    def change(module: nn.Module, mesh: Any) -> nn.Module:
        return Stage(module, ["embed"])

    assert refused(change) == (
        "error: build gives another module than the one to initialise in Stage\n"
        "  expected: the same names and shapes\n"
        "  found: differences in blocks.0.down.bias, blocks.0.down.weight, blocks.0.norm.bias, "
        "blocks.0.norm.weight, blocks.0.up.bias, blocks.0.up.weight, blocks.1.down.bias, "
        "blocks.1.down.weight, blocks.1.norm.bias, blocks.1.norm.weight, blocks.1.up.bias, "
        "blocks.1.up.weight, head.weight, mix.bias, mix.weight, scale"
    )


def test_a_name_that_the_whole_has_not_is_refused_in_a_part_too() -> None:
    def change(module: nn.Module, mesh: Any) -> nn.Module:
        return nn.Sequential(Stage(module, ["mix"]))

    assert refused(change, part=True) == (
        "error: build gives another module than the one to initialise in Sequential\n"
        "  expected: no other names and shapes\n"
        "  found: differences in 0.mix.bias, 0.mix.weight"
    )


def test_a_state_dict_of_other_names_is_refused() -> None:
    def rename(module: nn.Module, state: dict[str, Any], *rest: Any) -> None:
        state["other.weight"] = state.pop("mix.weight")

    def change(module: nn.Module, mesh: Any) -> None:
        fsdp(module, mesh)
        module.register_state_dict_post_hook(rename)

    assert refused(change) == (
        "error: a state dict whose names torch.distributed.checkpoint cannot tell in FSDPNet\n"
        "  expected: names of parameters and buffers, as the module has them\n"
        "  found: 'FSDPNet' object has no attribute 'other'"
    )


def test_a_state_dict_with_more_than_tensors_is_refused() -> None:
    class More(Net):
        def get_extra_state(self) -> str:
            return "more"

    assert refused(lambda module, mesh: More()) == (
        "error: a state dict entry that is no parameter or buffer in More: _extra_state\n"
        "  found: str"
    )

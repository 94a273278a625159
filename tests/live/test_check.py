"""check on real ranks: it agrees with diff of the gathered file, and all ranks answer alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import zeroinit_cli
from tests.live.nets import STAGES, Net, Stage, fsdp, local, untied
from tests.live.ranks import on_ranks
from zeroinit_cli import Checked
from zeroinit_cli.errors import PlanError, UsageError
from zeroinit_cli.store.diff import diff, planned_contents, stored_contents
from zeroinit_cli.store.read import read_checkpoint

NUMEL = 548
"""Elements of `Net`, those of its tie twice."""


def checked(
    world: int,
    change: Callable[[nn.Module, int], Any],
    *,
    shape: tuple[int, ...] | None = None,
    **arguments: Any,
) -> str:
    """What check says of a changed net, the same on every rank."""

    def work(rank: int) -> str:
        module = Net()
        names = ("replica", "shard")[-len(shape or [world]) :]
        mesh = init_device_mesh("cpu", shape or (world,), mesh_dim_names=names)
        fsdp(module, mesh)
        zeroinit_cli.init_(module, build=Net)
        module = change(module, rank) or module
        return str(zeroinit_cli.check(module, zeroinit_cli.plan(Net), **arguments))

    answers = on_ranks(world, work, backend="gloo")
    assert len(set(answers)) == 1, answers
    return str(answers[0]).replace(zeroinit_cli.plan(Net).digest(), "sha256:PLAN")


def disturb(tensor: torch.Tensor, *index: int) -> None:
    """Change one element that this rank holds."""
    with torch.no_grad():
        local(tensor)[index] += 1


def test_a_filled_module_is_as_planned() -> None:
    assert checked(3, lambda module, rank: None) == (
        f"17 tensors of {NUMEL} elements as planned (sha256:PLAN)"
    )


def test_a_module_of_one_process_needs_no_torch_distributed() -> None:
    plan = zeroinit_cli.plan(Net)
    module = zeroinit_cli.init_(Net(), build=Net)
    found = zeroinit_cli.check(module, plan)
    assert found.ok
    assert found.problems == ()
    assert isinstance(found, Checked)
    disturb(module.mix.weight, 1, 2, 0)
    found = zeroinit_cli.check(module, plan)
    assert not found.ok
    assert str(found) == (
        f"1 of 17 tensors not as planned ({plan.digest()})\n"
        "  mix.weight [6, 6, 3]: 1 of 108 elements differ, the first at [1, 2, 0]"
    )


def test_a_disturbed_shard_is_found_and_its_first_element_named() -> None:
    def change(module: Any, rank: int) -> None:
        if rank == 1:  # rows 4 to 7 of 11
            disturb(module.embed.weight, 2, 5)
            disturb(module.embed.weight, 1, 3)

    assert checked(3, change) == (
        "2 of 17 tensors not as planned (sha256:PLAN)\n"
        "  embed.weight [11, 6]: 2 of 66 elements differ, the first at [5, 3]\n"
        "  head.weight [11, 6]: 2 of 66 elements differ, the first at [5, 3]"
    )


def test_a_replica_that_diverged_is_found() -> None:
    def change(module: Any, rank: int) -> None:
        if rank == 3:  # the second replica's second half
            disturb(module.blocks[1].up.bias, 0)

    assert checked(4, change, shape=(2, 2)) == (
        "1 of 17 tensors not as planned (sha256:PLAN)\n"
        "  blocks.1.up.bias [10]: 1 differ in further copies alone, the first at [5]"
    )


def test_a_replica_in_ddp_that_diverged_is_found() -> None:
    def work(rank: int) -> str:
        module = DistributedDataParallel(zeroinit_cli.init_(Net(), build=Net))
        if rank == 1:
            disturb(module.module.mix.bias, 2)
        return str(zeroinit_cli.check(module, zeroinit_cli.plan(Net)).problems[0])

    line = "mix.bias [6]: 1 differ in further copies alone, the first at [2]"
    assert on_ranks(2, work, backend="gloo") == [line] * 2


def staged(names: tuple[list[str], ...]) -> list[Any]:
    def work(rank: int) -> str:
        stage = Stage(untied(), names[rank])
        zeroinit_cli.init_(stage, build=untied, part=True)
        plan = zeroinit_cli.plan(untied, overrides=["scale=ones"])
        found = zeroinit_cli.check(stage, plan, part=True)
        return "\n".join(map(str, found.problems))

    return on_ranks(len(names), work, backend="gloo")


def test_a_stage_that_is_missing_is_found() -> None:
    scale = "scale [6]: held by no rank"
    assert staged(STAGES) == [scale] * 2
    lines = [f"embed.weight [11, 6]: held by no rank\n{scale}"] * 2
    assert staged((["mix"], ["blocks", "head"])) == lines


def test_the_differences_are_those_of_diff_of_the_gathered_file(tmp_path: Path) -> None:
    gathered, plan = tmp_path / "gathered.safetensors", zeroinit_cli.plan(untied)

    def work(rank: int) -> list[tuple[str, int, Any]]:
        module: Any = untied()
        fsdp(module, init_device_mesh("cpu", (2,)))
        zeroinit_cli.init_(module, build=untied)
        with torch.no_grad():
            local(module.blocks[0].up.weight)[:, ::2] += 1
            local(module.embed.weight)[rank, 0] = -0.0
        whole = {
            name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            for name, tensor in module.state_dict().items()
        }
        if rank == 0:
            safetensors.torch.save_file(whole, gathered)
        found = zeroinit_cli.check(module, plan)
        return [(each.name, each.differing, each.first_difference) for each in found.problems]

    first, second = on_ranks(2, work, backend="gloo")
    found = diff(stored_contents(read_checkpoint(gathered)), planned_contents("plan", plan))
    differing = [(each.info.name, each.count, each.index) for each in found.differing]
    assert first == second == differing
    assert [name for name, _, _ in first] == ["blocks.0.up.weight", "embed.weight"]


def refused(world: int, work: Callable[[int], Any]) -> str:
    """The message that every rank raises."""
    messages = on_ranks(world, work, backend="gloo")
    assert len(set(messages)) == 1, messages
    return str(messages[0])


def test_a_rank_with_another_build_is_named() -> None:
    def work(rank: int) -> Any:
        overrides = ["mix.bias=ones"] if rank == 1 else []
        plan = zeroinit_cli.plan(Net, overrides=overrides)
        zeroinit_cli.check(zeroinit_cli.init_(Net(), build=Net), plan)

    usual = zeroinit_cli.plan(Net).digest()
    other = zeroinit_cli.plan(Net, overrides=["mix.bias=ones"]).digest()
    assert refused(3, work) == (
        "error: ranks have different plans\n"
        "  expected: the same digest on every rank\n"
        f"  found: {usual} on ranks 0, 2; {other} on rank 1\n"
        "\n"
        "hint: build must give the same module everywhere: compare plan.to_json()"
    )


def test_an_error_of_one_rank_is_the_error_of_all() -> None:
    def work(rank: int) -> Any:
        module = Net()
        if rank == 2:
            module.mix = nn.Conv1d(6, 6, 3, padding=1, device="meta")
        zeroinit_cli.check(module, zeroinit_cli.plan(Net))

    assert refused(3, work) == (
        "error: tensors on the meta device, which hold no values in Net, rank 2\n"
        "  expected: a module on the device that it is to be used on\n"
        "  found: mix.weight, mix.bias\n"
        "\n"
        'hint: module.to_empty(device="cpu") first, then init_ with build=lambda: Model(...)'
    )


def test_a_rank_that_fails_otherwise_keeps_its_error_and_the_others_hear_of_it() -> None:
    class Broken(Net):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyError("mine")

    def work(rank: int) -> str:
        module = Net() if rank == 0 else Broken()
        try:
            zeroinit_cli.check(module, zeroinit_cli.plan(Net))
        except (PlanError, KeyError) as error:
            return str(error)
        return ""

    assert on_ranks(2, work, backend="gloo") == [
        "error: the module cannot be read in Broken, rank 1\n  found: KeyError: 'mine'",
        "'mine'",
    ]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (
            lambda: Net().bfloat16(),
            {},
            "error: tensors of another type than the plan's in Net\n"
            "  expected: float32 for scale\n"
            "  found: bfloat16 for scale, embed.weight, mix.weight, mix.bias and 13 more\n"
            "\n"
            'hint: plan(build, dtype="bfloat16")',
        ),
        (
            Net,
            {"expected": "sha256:0"},
            "error: another plan than the expected one in Net\n  expected: sha256:0\n  found: PLAN",
        ),
        (
            untied,
            {},
            "error: parameters that build ties are not tied in Net\n"
            "  expected: one parameter under both names\n"
            "  found: head.weight is not embed.weight\n"
            "\n"
            "hint: tie them again after to_empty(), as the constructor does: "
            "module.head.weight = module.embed.weight, or module.tie_weights()",
        ),
        (
            lambda: nn.Linear(2, 1),
            {"part": True},
            "error: the module is not the planned one in Linear\n"
            "  expected: no other names and shapes\n"
            "  found: differences in bias, weight",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(
    change: Callable[[], nn.Module], arguments: dict[str, Any], message: str
) -> None:
    plan = zeroinit_cli.plan(Net)
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.check(change(), plan, **arguments)
    assert str(caught.value).replace(plan.digest(), "PLAN") == message


def test_a_group_of_some_ranks_checks_what_they_hold() -> None:
    def work(rank: int) -> tuple[str, str]:
        group = torch.distributed.new_group([1, 2])
        plan = zeroinit_cli.plan(Net)
        module: Any = zeroinit_cli.init_(Net(), build=Net)
        if rank == 2:
            disturb(module.mix.bias, 1)
        if rank:
            return str(zeroinit_cli.check(module, plan, group=group).problems[0]), ""
        with pytest.raises(UsageError) as caught:
            zeroinit_cli.check(module, plan, group=group)
        return "", str(caught.value)

    line = "mix.bias [6]: 1 differ in further copies alone, the first at [1]"
    assert on_ranks(3, work, backend="gloo") == [
        (
            "",
            "error: a group that this rank is not of in group\n\n"
            "hint: call check on the ranks of the group alone",
        ),
        (line, ""),
        (line, ""),
    ]

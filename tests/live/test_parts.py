"""Which rectangles a rank holds, with torch's own sharding of the whole tensor as the oracle."""

import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed.tensor
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import _StridedShard

from tests.live.ranks import on_ranks
from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.live.parts import Sharding

MESHES: tuple[tuple[int, ...], ...] = ((8,), (4, 2), (2, 4), (2, 2, 2))


def drawn_parts(rank: int, examples: int) -> int:
    """Hold drawn shapes and placements, on meshes of 8 ranks, against shards of the whole."""
    tried = 0

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data(), st.lists(st.integers(0, 19), min_size=1, max_size=3))
    def hold(data: st.DataObject, shape: list[int]) -> None:
        nonlocal tried
        tried += 1
        mesh = meshes[data.draw(st.sampled_from(MESHES))]
        dimensions = st.integers(0, len(shape) - 1)
        placement = st.one_of(
            st.just(Replicate()),
            dimensions.map(Shard),
            st.builds(
                lambda dimension, factor: _StridedShard(dimension, split_factor=factor),
                dimensions,
                st.integers(2, 3),
            ),
        )
        placements = [data.draw(placement) for _ in range(mesh.ndim)]
        whole = torch.arange(int(np.prod(shape))).reshape(shape)
        tensor = distribute_tensor(torch.full_like(whole, -1), mesh, placements, src_data_rank=None)
        for part in Sharding().parts(tensor, "drawn"):
            for block in part.blocks():
                block.view.copy_(whole[tuple(slice(*bounds) for bounds in block.region)])
        expected = distribute_tensor(whole, mesh, placements, src_data_rank=None)
        assert torch.equal(tensor.to_local(), expected.to_local()), (shape, placements)

    meshes: dict[tuple[int, ...], DeviceMesh] = {
        shape: init_device_mesh("cpu", shape) for shape in MESHES
    }
    hold()
    return tried


def test_the_parts_of_drawn_shapes_are_torchs_shards() -> None:
    assert min(on_ranks(8, lambda rank: drawn_parts(rank, 30), only=(5,))) >= 30


@pytest.mark.long
def test_the_parts_of_many_drawn_shapes_are_torchs_shards() -> None:
    assert min(on_ranks(8, lambda rank: drawn_parts(rank, 100))) >= 100


def held_times(
    mesh_shape: tuple[int, ...], shape: tuple[int, ...], placements: list[Any]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """How many ranks hold each element of a tensor."""

    def regions(rank: int) -> list[tuple[tuple[int, int], ...]]:
        mesh = init_device_mesh("cpu", mesh_shape)
        tensor = distribute_tensor(torch.zeros(shape), mesh, placements, src_data_rank=None)
        return [part.region for part in Sharding().parts(tensor, "counted")]

    times = np.zeros(shape, np.int64)
    for held in on_ranks(int(np.prod(mesh_shape)), regions):
        for region in held:
            times[tuple(slice(*bounds) for bounds in region)] += 1
    return times


@pytest.mark.parametrize(
    ("mesh", "shape", "placements", "times"),
    [
        ((5,), (7, 3), [Shard(0)], 1),
        ((4,), (3, 9), [Shard(1)], 1),
        ((2, 3), (11, 4), [Replicate(), Shard(0)], 2),
        ((2, 2), (10, 3), [_StridedShard(0, split_factor=2), Shard(0)], 1),
        ((3,), (14,), [_StridedShard(0, split_factor=4)], 1),
        ((2, 2), (), [Replicate(), Replicate()], 4),
    ],
)
def test_every_element_is_held_the_right_number_of_times(
    mesh: tuple[int, ...], shape: tuple[int, ...], placements: list[Any], times: int
) -> None:
    assert (held_times(mesh, shape, placements) == times).all()


def refused(make: Any) -> str:
    """The message about a tensor of two ranks, on the first of them."""

    def message(rank: int) -> None:
        Sharding().parts(make(init_device_mesh("cpu", (2,))), "Net: weight")

    first, second = on_ranks(2, message)
    assert first == second
    return re.sub(r"torch \d\S*", "torch X", first)


def test_a_partial_tensor_is_refused() -> None:
    assert refused(lambda mesh: DTensor.from_local(torch.ones(2), mesh, [Partial()])) == (
        "error: a partial tensor, each rank of which holds a term of a sum in Net: weight\n"
        "  expected: placements that shard or replicate\n"
        "  found: [Partial(sum)]\n"
        "\n"
        "hint: make it whole first: tensor.redistribute(placements=[Replicate()])"
    )


def test_shards_of_someones_own_sizes_are_refused() -> None:
    def uneven(mesh: Any) -> DTensor:
        local = torch.ones(3, 2)
        return DTensor.from_local(
            local, mesh, [Shard(0)], run_check=False, shape=torch.Size([7, 2]), stride=(2, 1)
        )

    def message(rank: int) -> None:
        Sharding().parts(uneven(init_device_mesh("cpu", (2,))), "Net: weight")

    # the second rank has 3 of 7 rows, as torch would; the first should have 4
    first, _ = on_ranks(2, message)
    assert re.sub(r"torch \d\S*", "torch X", first) == (
        "error: a tensor that this torch does not shard as its placements say in Net: weight\n"
        "  expected: the shards of torch.distributed.tensor.distribute_tensor\n"
        "  found: a local shape of [3, 2]; torch X\n"
        "\n"
        "hint: make it with distribute_tensor, or update torch"
    )


def test_a_torch_that_would_send_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch 2.5: distribute_tensor broadcasts from rank 0, and has no way not to."""
    original = distribute_tensor

    def sending(tensor: Any, device_mesh: Any = None, placements: Any = None) -> Any:
        return original(tensor, device_mesh, placements, src_data_rank=None)

    monkeypatch.setattr(torch.distributed.tensor, "distribute_tensor", sending)
    assert refused(lambda mesh: sending(torch.ones(4), mesh, [Shard(0)])) == (
        "error: this torch cannot shard a tensor without sending it in Net: weight\n"
        "  expected: torch.distributed.tensor.distribute_tensor(..., src_data_rank=None)\n"
        "  found: torch X\n"
        "\n"
        "hint: update torch; or load the plan as a checkpoint, which needs less: "
        "dcp.load(state, storage_reader=zeroinit_cli.plan_reader(plan))"
    )


@pytest.mark.parametrize("plainly", [True, False])
def test_a_torch_that_cannot_cut_strided_shards_is_refused(
    plainly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = distribute_tensor

    def older(tensor: Any, mesh: Any, placements: Any, *, src_data_rank: Any = 0) -> Any:
        if not plainly:
            raise NotImplementedError
        plain = [
            Shard(each.dim) if isinstance(each, _StridedShard) else each for each in placements
        ]
        return original(tensor, mesh, plain, src_data_rank=src_data_rank)

    def strided(mesh: Any) -> Any:
        placements = [_StridedShard(0, split_factor=2)]
        return original(torch.ones(8), mesh, placements, src_data_rank=None)

    monkeypatch.setattr(torch.distributed.tensor, "distribute_tensor", older)
    assert refused(strided) == (
        "error: a tensor that this torch does not shard as its placements say in Net: weight\n"
        "  expected: the shards of torch.distributed.tensor.distribute_tensor\n"
        "  found: a _StridedShard that it cuts otherwise, if at all; torch X\n"
        "\n"
        "hint: make it with distribute_tensor, or update torch"
    )


def test_a_placement_that_is_not_known_is_refused() -> None:
    class Ragged:
        def is_partial(self) -> bool:
            return False

        def is_replicate(self) -> bool:
            return False

        def __repr__(self) -> str:
            return "Ragged()"

    class Odd:
        device_mesh = None
        placements = (Ragged(),)

    with pytest.raises(PlanError) as caught:
        Sharding().parts(Odd(), "Net: weight")
    assert str(caught.value) == (
        "error: a placement that is not known in Net: weight\n"
        "  expected: Shard or Replicate\n"
        "  found: [Ragged()]"
    )

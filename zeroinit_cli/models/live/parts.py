"""The rectangles of a tensor that this rank holds, by torch's own sharding of its indices.

A DTensor's placements say how each dimension is cut. Torch is asked to cut 0, 1, 2, ... in the same
way, which no rank need be told of: what is left here are the indices of the local tensor's rows, or
columns. Where they run on, so do the entries.
"""

import inspect
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zeroinit_cli.errors import PlanError
from zeroinit_cli.plans.rules import Range, Region
from zeroinit_cli.plans.values import regions

_BLOCK_BYTES = 1 << 22  # what is computed on the CPU before it is copied to the module's device
_SHARDS = ("Shard", "_StridedShard")
"""Placements that cut a dimension, by name: the second is private, and FSDP2's with others."""

Run = tuple[Range, Range]
"""Indices that run on: where they are in the local tensor, and in the whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A rectangle of a tensor.

    Attributes:
        view: its memory on this rank.
        region: where it is in the whole tensor.
    """

    view: torch.Tensor
    region: Region

    def blocks(self) -> "Iterator[Part]":
        """Cut it into rectangles of a few megabytes, in C order."""
        most = _BLOCK_BYTES // self.view.element_size()
        for block in regions(tuple(self.view.shape), most):
            yield Part(
                view=self.view[tuple(slice(*bounds) for bounds in block)],
                region=tuple(
                    (start + first, start + last)
                    for (start, _), (first, last) in zip(self.region, block, strict=True)
                ),
            )


def whole(tensor: torch.Tensor) -> tuple[Part, ...]:
    """A tensor that is not sharded, as its one part."""
    return (Part(view=tensor, region=tuple((0, size) for size in tensor.shape)),)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a DTensor, of which this rank has a local part."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


class Sharding:
    """Finds the parts of many tensors; torch shards each length once."""

    def __init__(self) -> None:
        self._runs: dict[object, list[Run]] = {}

    def parts(self, tensor: Any, where: str) -> tuple[Part, ...]:
        """The parts of a tensor that this rank holds; none where it is not of its mesh.

        Args:
            tensor: a tensor or a DTensor.
            where: what messages call it.

        Raises:
            PlanError: its local values are no entries of it, or this torch cannot tell which.
        """
        if not is_sharded(tensor):
            return whole(tensor)
        _check_placements(tensor, where)
        local = tensor.to_local()
        if tensor.device_mesh.get_coordinate() is None or not local.numel():
            return ()
        by_dimension = [self._runs_of(tensor, each, where) for each in range(tensor.ndim)]
        if any(
            sum(last - first for (first, last), _ in runs) != size
            for runs, size in zip(by_dimension, local.shape, strict=True)
        ):
            raise _other_sharding(where, f"a local shape of {list(local.shape)}")
        return tuple(
            Part(
                view=local[tuple(slice(*inside) for inside, _ in runs)],
                region=tuple(outside for _, outside in runs),
            )
            for runs in itertools.product(*by_dimension)
        )

    def _runs_of(self, tensor: Any, dimension: int, where: str) -> list[Run]:
        from torch.distributed.tensor import Replicate

        size = tensor.shape[dimension]
        placements = tuple(
            _cut_along(placement, 0)
            if type(placement).__name__ in _SHARDS and placement.dim == dimension
            else Replicate()
            for placement in tensor.placements
        )
        if all(placement.is_replicate() for placement in placements):
            return [((0, size), (0, size))]
        # by their texts: to an older torch a strided shard is equal to a plain one
        key = (size, tensor.device_mesh, *map(repr, placements))
        if key not in self._runs:
            _check_strides(tensor.device_mesh, placements, where)
            self._runs[key] = _runs(_own_indices(size, tensor.device_mesh, placements, where))
        return self._runs[key]


def _check_placements(tensor: Any, where: str) -> None:
    if any(placement.is_partial() for placement in tensor.placements):
        raise PlanError(
            "a partial tensor, each rank of which holds a term of a sum",
            where=where,
            expected="placements that shard or replicate",
            found=_shown(tensor.placements),
            hint="make it whole first: tensor.redistribute(placements=[Replicate()])",
        )
    unknown = [
        placement
        for placement in tensor.placements
        if not placement.is_replicate() and type(placement).__name__ not in _SHARDS
    ]
    if unknown:
        raise PlanError(
            "a placement that is not known",
            where=where,
            expected="Shard or Replicate",
            found=_shown(tensor.placements),
        )


def _shown(placements: Any) -> str:
    return f"[{', '.join(map(repr, placements))}]"


def _cut_along(placement: Any, dimension: int) -> Any:
    """The same cut of another dimension."""
    if type(placement).__name__ == "Shard":
        return type(placement)(dimension)
    return type(placement)(dimension, split_factor=placement.split_factor)


def _own_indices(size: int, mesh: Any, placements: Any, where: str) -> NDArray[np.int64]:
    """Which of the indices 0 to `size` - 1 torch gives to this rank; nothing is sent."""
    from torch.distributed.tensor import distribute_tensor

    if "src_data_rank" not in inspect.signature(distribute_tensor).parameters:
        raise PlanError(
            "this torch cannot shard a tensor without sending it",
            where=where,
            expected="torch.distributed.tensor.distribute_tensor(..., src_data_rank=None)",
            found=f"torch {torch.__version__}",
            hint="update torch; or load the plan as a checkpoint, which needs less: "
            "dcp.load(state, storage_reader=zeroinit_cli.plan_reader(plan))",
        )
    whole_range = torch.arange(size, device=mesh.device_type)
    mine: Any = distribute_tensor(whole_range, mesh, placements, src_data_rank=None)
    indices: NDArray[np.int64] = mine.to_local().cpu().numpy()
    return indices


def _check_strides(mesh: Any, placements: Any, where: str) -> None:
    """Refuse a torch that cuts a strided shard like a plain one, which has other entries.

    Of `factor` stretches of as many indices as there are ranks, each rank has one of each stretch.
    """
    from torch.distributed.tensor import Replicate

    for axis, placement in enumerate(placements):
        if type(placement).__name__ != "_StridedShard":
            continue
        alone = [placement if at == axis else Replicate() for at in range(len(placements))]
        ranks, factor = mesh.size(axis), placement.split_factor
        expected = mesh.get_coordinate()[axis] + ranks * np.arange(factor)
        found = None
        with suppress(NotImplementedError):
            found = _own_indices(ranks * factor, mesh, alone, where)
        if found is None or not np.array_equal(found, expected):
            raise _other_sharding(where, "a _StridedShard that it cuts otherwise, if at all")


def _other_sharding(where: str, found: str) -> PlanError:
    return PlanError(
        "a tensor that this torch does not shard as its placements say",
        where=where,
        expected="the shards of torch.distributed.tensor.distribute_tensor",
        found=f"{found}; torch {torch.__version__}",
        hint="make it with distribute_tensor, or update torch",
    )


def _runs(indices: NDArray[np.int64]) -> list[Run]:
    """Group indices into those that run on."""
    if not len(indices):
        return []
    starts = [0, *(np.flatnonzero(np.diff(indices) != 1) + 1).tolist()]
    return [
        ((first, last), (int(indices[first]), int(indices[first]) + last - first))
        for first, last in zip(starts, [*starts[1:], len(indices)], strict=True)
    ]

"""A plan as a checkpoint of torch.distributed.checkpoint, for whatever that can load into."""

from collections import defaultdict
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.filling import fill_parts
from zeroinit_cli.models.live.parts import Part
from zeroinit_cli.plans.plan import Plan, TensorInfo


class PlanReader(StorageReader):
    """Reads a plan as if it were a checkpoint of one piece a tensor; there is no file.

    Args:
        plan: whose values are loaded.
    """

    def __init__(self, plan: Plan):
        self._plan = plan

    def reset(self, checkpoint_id: Any = None) -> None:
        """Do nothing: there is no place that a checkpoint could be in."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Describe every tensor of the plan."""
        return Metadata(
            state_dict_metadata={
                planned.info.name: _metadata(planned.info) for planned in self._plan.tensors
            },
            storage_data={},
            storage_meta=StorageMeta(),
        )

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: the plan says all."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Read what this rank asks for as it asks."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Read what each rank asks for as it asks."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> "Future[None]":
        """Compute what this rank asks for, once all of it can be.

        Raises:
            PlanError: a tensor is of another type than the plan's, and would be rounded twice.
        """
        targets = [planner.resolve_tensor(item).detach() for item in plan.items]
        types = {each.info.name: _torch_type(each.info) for each in self._plan.tensors}
        for item, target in zip(plan.items, targets, strict=True):
            name = item.storage_index.fqn
            if target.dtype != types[name]:
                found = str(target.dtype).removeprefix("torch.")
                raise PlanError(
                    "a tensor of another type than the plan's",
                    where=name,
                    expected=str(types[name]).removeprefix("torch."),
                    found=found,
                    hint=f'plan(build, dtype="{found}")',
                )
        parts: defaultdict[str, list[Part]] = defaultdict(list)
        for item, target in zip(plan.items, targets, strict=True):
            parts[item.storage_index.fqn].append(Part(view=target, region=_region(item)))
        fill_parts(parts, self._plan)
        for item, target in zip(plan.items, targets, strict=True):
            planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        """Accept any: none is looked at."""
        return True


def _metadata(info: TensorInfo) -> TensorStorageMetadata:
    size = torch.Size(info.shape)
    return TensorStorageMetadata(
        properties=TensorProperties(dtype=_torch_type(info)),
        size=size,
        chunks=[ChunkStorageMetadata(offsets=torch.Size([0] * len(size)), sizes=size)],
    )


def _torch_type(info: TensorInfo) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, info.dtype.name)
    return dtype


def _region(item: ReadItem) -> tuple[tuple[int, int], ...]:
    return tuple(
        (start, start + length)
        for start, length in zip(item.storage_offsets, item.lengths, strict=True)
    )

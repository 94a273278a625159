"""Models with the values that are compared: a plan's, a file's, torch's own; without dropout."""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zeroinit_cli.dtypes import FLOATS, INTEGERS, DType
from zeroinit_cli.errors import CheckpointError
from zeroinit_cli.models.building import Factory, build
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.filling import fill
from zeroinit_cli.models.untouched import chance_state, restore_chance
from zeroinit_cli.plans.plan import Plan, TensorInfo
from zeroinit_cli.store.read import DataReader, StoredCheckpoint
from zeroinit_cli.text import listed

_CHANCE = ("StochasticDepth",)  # by name, so that torchvision need not be imported
_RATES = ("dropout", "attention_dropout", "dropout_p")  # attributes of attention that hold a rate
_DROPOUT = nn.modules.dropout._DropoutNd

Init = Callable[[], nn.Module]
"""Builds a model with its values; each call a fresh one."""


def planned_init(factory: Factory, plan: Plan, where: str) -> Init:
    """Return an Init that builds models with a plan's values."""

    def init() -> nn.Module:
        model = _skeleton(factory)
        entries = {entry.name: entry for entry in state_entries(model, where)}
        staged = {
            planned.info.name: _staged(entries[planned.info.name], planned.info.dtype)
            for planned in plan.tensors
            if entries[planned.info.name].dtype != planned.info.dtype
        }
        fill({**entries, **staged}, plan)
        _copy_into(entries, {name: entry.tensor for name, entry in staged.items()})
        return without_chance(model)

    return init


def stored_init(factory: Factory, checkpoint: StoredCheckpoint, where: str) -> Init:
    """Return an Init that builds models with a file's values; each reads the file again.

    Raises:
        CheckpointError: by this call, if the file does not hold the model's tensors.
    """
    _check_fits(factory, checkpoint, where)

    def init() -> nn.Module:
        model = _skeleton(factory)
        entries = {entry.name: entry for entry in state_entries(model, where)}
        _copy_into(entries, dict(_stored_tensors(checkpoint)))
        return without_chance(model)

    return init


def torch_init(factory: Factory, seed: int) -> Init:
    """Return an Init that builds models as their constructor leaves them, under a seed."""
    return lambda: without_chance(build(factory, seed, real_weights=True))


@contextmanager
def built(init: Init) -> Iterator[nn.Module]:
    """Build a model for the block, and free it at the end: graphs hold memory in cycles."""
    model = init()
    try:
        yield model
    finally:
        del model
        gc.collect()


def without_chance(model: nn.Module) -> nn.Module:
    """Set dropout and stochastic depth to 0, in place, so that no gradient is 0 by chance."""
    for module in model.modules():
        if isinstance(module, _DROPOUT) or type_name(module) in _CHANCE:
            module.p = 0.0  # type: ignore[assignment]  # both classes have a float there
        for name in _RATES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@contextmanager
def repeatable() -> Iterator[None]:
    """Set one thread, fixed seeds and deterministic kernels; restore all at the end of the block.

    The order of a sum, and so its rounding, depends on the number of threads.
    """
    threads, chance = torch.get_num_threads(), chance_state()
    strict, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fast = torch.backends.cudnn.benchmark
    dtype = torch.get_default_dtype()
    try:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.set_default_dtype(torch.float32)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        torch.backends.cudnn.benchmark = fast
        torch.set_default_dtype(dtype)
        restore_chance(chance)


def _skeleton(factory: Factory) -> nn.Module:
    """Build a model whose large weights are uninitialised memory."""
    model = build(factory, 0)
    made: dict[int, nn.Parameter] = {}  # by id, so that tied parameters stay tied
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                if id(parameter) not in made:
                    empty = torch.empty_like(parameter, device="cpu")
                    made[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
                module._parameters[name] = made[id(parameter)]
    return model


def _staged(entry: Entry, dtype: DType) -> Entry:
    """Return the entry with an empty tensor of the type that the plan rounds to."""
    empty = torch.empty(entry.tensor.shape, dtype=getattr(torch, dtype.name))
    return replace(entry, owned=replace(entry.owned, tensor=empty))


def _copy_into(entries: Mapping[str, Entry], tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in tensors.items():
            entries[name].tensor.copy_(tensor)


def _stored_tensors(checkpoint: StoredCheckpoint) -> Iterator[tuple[str, Tensor]]:
    with DataReader(checkpoint) as reader:
        for placed in checkpoint.tensors:
            data = bytearray(placed.nbytes)
            reader.read(placed, 0, memoryview(data))
            dtype: Any = getattr(torch, placed.info.dtype.name)
            flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            yield placed.info.name, flat.reshape(placed.info.shape)


def _check_fits(factory: Factory, checkpoint: StoredCheckpoint, where: str) -> None:
    """Refuse a file that does not hold exactly the tensors of the model.

    Raises:
        CheckpointError: names, shapes or types are others.
    """
    entries = state_entries(build(factory, 0), where)
    wanted = {entry.name: tuple(entry.tensor.shape) for entry in entries}
    found = {placed.info.name: placed.info for placed in checkpoint.tensors}
    misfit = _misfit(wanted, found)
    if misfit is not None:
        raise CheckpointError(
            "not a checkpoint of this source",
            where=str(checkpoint.path),
            expected=f"the tensors of {where}",
            found=misfit,
            hint="--source and --set say what it was made for",
        )


def _misfit(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, TensorInfo]) -> str | None:
    """Describe the first way in which a file's tensors are not those of the model."""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        parts = [("lacks", missing), ("has besides", extra)]
        return "; ".join(f"it {verb} {listed(names, 3)}" for verb, names in parts if names)
    for name, shape in sorted(wanted.items()):
        info = found[name]
        if info.shape != shape:
            return f"{name} {list(info.shape)} in place of {list(shape)}"
        if info.dtype not in (*FLOATS, *INTEGERS):
            return f"{name} of type {info.dtype.code}"
    return None

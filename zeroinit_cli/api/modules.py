"""A module of your own: plan it, initialise it, compare it with its plan, save the plan."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

from zeroinit_cli.api.given import listed, options_of, source_of, type_name, words_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn
    from torch.distributed import ProcessGroup
    from torch.distributed.checkpoint.storage import StorageReader

    from zeroinit_cli.api.given import ExampleInputs
    from zeroinit_cli.plans.checked import Checked
    from zeroinit_cli.plans.plan import Plan
    from zeroinit_cli.policies import Policy

Module = TypeVar("Module", bound="nn.Module")


def plan(
    architecture: "str | Callable[[], nn.Module] | nn.Module",
    *,
    example_inputs: "ExampleInputs | None" = None,
    dtype: "str | torch.dtype | None" = None,
    policy: "str | Policy | None" = None,
    overrides: Iterable[str] = (),
) -> "Plan":
    """Plan every tensor of an architecture's state dict, its rule and why; make no weights.

    Args:
        architecture: a function that builds a module, the exact way: it is noted which values are
            drawn and which are meant, and its large weights are not held. Or a SOURCE
            of the command line, a name or a spec's path. Or a module as its constructor left it,
            which is a weaker witness: a parameter that no rule covers is kept if all its entries
            are equal, a buffer always, and the plan's warnings name both.
        example_inputs: what its forward takes: a tensor, a tuple of arguments or a dict of keys,
            on any device, meta too. It is run once, to see how each parameter is used.
            If not given, inputs are guessed from its first layers, or the SOURCE knows its own.
        dtype: type of the floating tensors, float32 if not given.
        policy: `default`, `paper`, or a `zeroinit_cli.Policy` of your own; that of the
            default if not given.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.

    Returns:
        the plan. `plan.tensors` are in file order, `plan.warnings` say what to know before
        training from it, `plan.digest()` is what a lock records.

    Raises:
        ZeroinitError: an option is wrong, or the architecture cannot be planned.
        Exception: whatever the function raises.
    """
    from zeroinit_cli.models import plan_given, plan_source
    from zeroinit_cli.source import requested_options

    name = type_name(dtype)
    if isinstance(architecture, str):
        source = source_of(architecture, example_inputs)
        words, own = words_of(name, policy)
        asked = requested_options(source, words, overrides=listed(overrides))
        return plan_source(source, replace(asked, policy=own or asked.policy))
    return plan_given(architecture, options_of(name, policy, overrides), example_inputs)


def build(source: "str | PathLike[str]") -> "nn.Module":
    """Build the module of a source, with torch's own random weights, to load a checkpoint into.

    Args:
        source: a SOURCE of the command line, such as `net.yaml`, `resnet18` or `timm:NAME`.

    Returns:
        the module whose state dict a checkpoint of the same source has, name by name.

    Raises:
        SourceError: the source is not known, is a spec with mistakes, or cannot be built.
        InputError: the spec cannot be read.
    """
    import os

    from zeroinit_cli.sources import parse_source

    return parse_source(os.fspath(source)).factory()()


def init_(
    module: Module,
    *,
    build: "Callable[[], nn.Module] | None" = None,
    example_inputs: "ExampleInputs | None" = None,
    part: bool = False,
    policy: "str | Policy | None" = None,
    overrides: Iterable[str] = (),
    only: Iterable[str] | None = None,
) -> Module:
    """Initialise a module in place; each tensor keeps its own type and device.

    The bytes are those that `zeroinit generate` writes for the same architecture and options, under
    `--dtype` where the module is not float32. No random state is touched.

    Args:
        module: what is initialised. Without `build` it is as its constructor left it. Of DTensors
            each rank fills its own shards, and sends nothing (docs/scale.md).
        build: a function that builds the same module. It is needed after `to_empty()`, when the
            values that only the constructor knows are gone, and for DTensors; and it settles what
            is random.
        example_inputs: what its forward takes: a tensor, a tuple of arguments or a dict of keys,
            on any device, meta too. It is run once, to see how each parameter is used.
            If not given, inputs are guessed from its first layers.
        part: the module is a part of the one that `build` gives, such as a stage of a pipeline;
            else it must have all its tensors.
        policy: `default`, `paper`, or a `zeroinit_cli.Policy` of your own; that of the
            default if not given.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.
        only: globs over names, such as `["head.*"]` for a new head on pretrained weights: what
            matches none of them is not touched.

    Returns:
        the same module.

    Raises:
        ZeroinitError: an option is wrong, or the module cannot be planned; then nothing in it was
            changed.
        Exception: whatever `build` raises.
    """
    from zeroinit_cli.models import init_given

    names = None if only is None else listed(only, "only")
    options = options_of(None, policy, overrides)
    init_given(module, build, options, example_inputs, part=part, only=names)
    return module


def check(
    module: "nn.Module",
    plan: "Plan",
    *,
    group: "ProcessGroup | None" = None,
    part: bool = False,
    expected: str | None = None,
) -> "Checked":
    """Compare a live module with its plan, bit by bit, on whatever ranks it is spread over.

    Each rank compares its own shards, then counts are added up; no tensor is gathered. All ranks of
    the group must call it, if torch.distributed is in use, and all get the same answer.

    Args:
        module: a plain module, or one of DTensors, or wrapped.
        plan: of the whole module, under the module's type: `plan(build, dtype="bfloat16")`.
        group: the ranks that hold it; all if not given.
        part: each rank holds a part of the plan's tensors, such as a stage of a pipeline.
        expected: the plan's digest in a lock, `sha256:...`.

    Returns:
        what was found. `.ok` says whether all is as planned, `.problems` are the tensors that are
        not, and `str()` tells it. A difference raises no error.

    Raises:
        ZeroinitError: on some rank the module is not the planned one or cannot be compared, or the
            plan is another than the expected or than other ranks'. Every rank raises the same.
    """
    from zeroinit_cli.models.live.checking import check_given

    return check_given(module, plan, group=group, part=part, expected=expected)


def plan_reader(plan: "Plan") -> "StorageReader":
    """Make a checkpoint of torch.distributed.checkpoint out of a plan; no file is read.

    `torch.distributed.checkpoint.load(state, storage_reader=plan_reader(plan))` puts the planned
    values into whatever that can load into, such as FSDP1's shards.

    Args:
        plan: of `plan()`, under the type of the tensors that it is loaded into.

    Returns:
        the reader.
    """
    from zeroinit_cli.models.live.reader import PlanReader

    return PlanReader(plan)


def values(
    plan: "Plan", name: str, region: "slice | tuple[slice, ...]" = ()
) -> "NDArray[np.generic]":
    """Compute the entries of any rectangle of a planned tensor.

    Args:
        plan: of `plan()`.
        name: of the tensor.
        region: a slice of each dimension, as `numpy.s_[0:4, :]` gives them; of dimensions that are
            left out, all.

    Returns:
        an array of the region's shape; of bfloat16 as ml_dtypes has it, or, where that is not
        installed, the bits as uint16.

    Raises:
        UsageError: there is no such tensor, or the region is not within it.
    """
    from zeroinit_cli.plans.values import named_values

    return named_values(plan, name, region)


def save(
    plan: "Plan",
    path: "str | PathLike[str]",
    *,
    max_shard_size: int | str | None = None,
    force: bool = False,
) -> str:
    """Write a plan as a safetensors file, whole or not at all, and its `.sha256` beside it.

    Args:
        plan: of `plan()`.
        path: the checkpoint, or the folder for its shards; its own folder exists. Files with
            exactly these bytes are left alone.
        max_shard_size: the most bytes of tensors in a file, such as `"5GB"`. The folder then gets
            shards and their index, or one `model.safetensors` if they all fit.
        force: replace files with other bytes.

    Returns:
        the SHA-256, in hexadecimal, of the file's bytes; of shards, that of the folder's
        `model.safetensors.sha256`, which lists theirs.

    Raises:
        ZeroinitError: it cannot be written, or the size is none.
    """
    from pathlib import Path

    from zeroinit_cli.commands.generate import write_plan
    from zeroinit_cli.commands.location import Location
    from zeroinit_cli.options import parse_size

    sharded = max_shard_size is not None
    most_bytes = parse_size(str(max_shard_size), "max_shard_size") if sharded else None
    location = Location(path=Path(path), own_folder=sharded)
    return write_plan(plan, location, most_bytes, force=force).sha256

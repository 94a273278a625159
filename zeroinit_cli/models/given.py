"""What callers of the Python API hand over: a module, or a function that builds one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import PlanError, UsageError
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.entries import state_entries
from zeroinit_cli.models.filling import copy_hidden, fill, fill_parts
from zeroinit_cli.models.inputs import Example, Inputs, Kind, example_given
from zeroinit_cli.models.live.held import check_matches, check_real, has_shards, held_module
from zeroinit_cli.models.planning import Types, plan_factory, plan_module
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.text import listed

Architecture = nn.Module | Callable[[], nn.Module]


def plan_given(architecture: Architecture, options: Options, example_inputs: Any = None) -> Plan:
    """The plan of whatever a caller has.

    Args:
        architecture: a module, or what builds one.
        options: what the rules depend on.
        example_inputs: a tensor, a tuple of arguments or a dict of keywords for its forward.

    Raises:
        UsageError: it is neither, or an override matches nothing or does not fit.
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        Exception: whatever a function raises.
    """
    inputs = example_given(example_inputs)
    if isinstance(architecture, nn.Module):
        return plan_module(architecture, options, type_name(architecture), inputs=inputs)
    return plan_factory(_checked(architecture), options, _name(architecture), inputs=inputs)[1]


def init_given(
    module: nn.Module,
    build: Factory | None,
    options: Options,
    example_inputs: Any = None,
    *,
    part: bool = False,
    only: Collection[str] | None = None,
) -> None:
    """Initialise a module in place; each of its tensors keeps its own type and device.

    Args:
        module: what is initialised. Without `build` it holds its constructor's values. Of a
            sharded one, what this rank holds; nothing is sent.
        build: builds the same module, and gives the values that only a constructor knows.
        options: what the rules depend on, but for the type.
        example_inputs: a tensor, a tuple of arguments or a dict of keywords for its forward.
        part: the module may lack tensors of the one that `build` gives.
        only: globs over names; what matches none is not touched. None for all.

    Raises:
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the module cannot be planned, a part of it is on the meta device, its
            constructor's values are gone and there is no `build`, or that builds another module or
            ties what the module does not; or it is sharded in a way that is not known.
        UsageError: an override matches nothing or does not fit.
        Exception: whatever `build` raises.
    """
    if not isinstance(module, nn.Module):
        raise _no_module("module", module)
    where, inputs = type_name(module), example_given(example_inputs)
    if build is None:
        _init_alone(module, options, where, inputs, part=part, only=only)
        return
    held, names = held_module(module, where), None
    if only is not None:
        names = _chosen({name: id(held.owned[name]) for name in held.tensors}, only)
        held = replace(held, tensors={name: held.tensors[name] for name in sorted(names)})
    types: Types = {name: each for name, each in held.dtypes.items() if each in FLOATS}
    built, plan = plan_factory(_checked(build), options, where, types, inputs, names)
    other = "build gives another module than the one to initialise"
    check_matches(held, plan, part=part, other=other)
    fill_parts({name: each.parts for name, each in held.tensors.items()}, plan)
    if names is None:
        copy_hidden(built, held.hidden)


def _init_alone(
    module: nn.Module,
    options: Options,
    where: str,
    inputs: Example | None,
    *,
    part: bool,
    only: Collection[str] | None,
) -> None:
    """Initialise a module that is its own witness."""
    if part or has_shards(module):
        raise PlanError(
            "a part of a module, which does not tell what the whole is",
            where=where,
            expected="a function that builds the whole module",
            found="shards and no build" if not part else "part=True and no build",
            hint="init_(module, build=lambda: Model(...))",
        )
    entries, names = {entry.name: entry for entry in state_entries(module, where)}, None
    if only is not None:
        names = _chosen({name: entry.first_name for name, entry in entries.items()}, only)
        entries = {name: entry for name, entry in entries.items() if name in names}
    check_real({name: entry.tensor for name, entry in entries.items()}, where)
    types: Types = {name: each.dtype for name, each in entries.items() if each.dtype in FLOATS}
    fill(entries, plan_module(module, options, where, types, inputs, names))


def _chosen(owners: Mapping[str, object], only: Collection[str]) -> frozenset[str]:
    """The names that a glob of `only` matches.

    Args:
        owners: by name what a tensor is; two that are tied are the same.
        only: globs.

    Raises:
        UsageError: a glob matches nothing, or what it matches is tied to what none matches.
    """
    for glob in only:
        if not any(fnmatchcase(name, glob) for name in owners):
            raise UsageError("a pattern that matches no tensor", where="only", found=repr(glob))
    names = frozenset(name for name in owners if any(fnmatchcase(name, glob) for glob in only))
    chosen = {owners[name]: name for name in names}
    torn = sorted(
        f"{chosen[owner]} is {name}"
        for name, owner in owners.items()
        if name not in names and owner in chosen
    )
    if torn:
        raise UsageError(
            "a part of tied tensors, which would change the other",
            where="only",
            expected="patterns that match both names, or neither",
            found=listed(torn, 4),
        )
    return names


def _checked(build: Factory) -> Factory:
    """A factory that gives a module or says what is wrong with it."""
    if not callable(build):
        raise _no_module("architecture", build)

    def factory() -> nn.Module:
        module = build()
        if not isinstance(module, nn.Module):
            raise _no_module(_name(build), module)
        return module

    return factory


def _no_module(where: str, found: object) -> UsageError:
    return UsageError(
        "not a module",
        where=where,
        expected="a torch.nn.Module, or a function without arguments that builds one",
        found=type(found).__name__,
    )


def _name(build: object) -> str:
    return str(getattr(build, "__name__", type(build).__name__))


def probed(build: Factory, example_inputs: Any) -> tuple[Factory, Inputs]:
    """What probing needs of a function that builds a module: the same, and what it is fed.

    Raises:
        UsageError: it is no function, or the inputs are none of a forward.
    """
    example = example_given(example_inputs)
    return _checked(build), Inputs(
        where=_name(build),
        kind=Kind.EXAMPLES,
        examples=() if example is None else (example,),
        is_given=example is not None,
    )


def forms(example_inputs: Any) -> list[str]:
    """The types and shapes of a caller's inputs, as `--input` takes them.

    Raises:
        UsageError: one is no tensor, so that a lock cannot record it.
    """
    example = example_given(example_inputs)
    found: dict[str, Any] = (
        {}
        if example is None
        else {
            **{f"[{index}]": each for index, each in enumerate(example.args)},
            **example.kwargs,
        }
    )
    texts = []
    for name, each in found.items():
        if not isinstance(each, Tensor):
            raise UsageError(
                "an input that a lock cannot record",
                where="example_inputs",
                expected="tensors",
                found=f"{name}: {type(each).__name__}",
            )
        dtype = str(each.dtype).removeprefix("torch.")
        prefix = "" if name.startswith("[") else f"{name}="
        texts.append(f"{prefix}{dtype}[{','.join(map(str, each.shape))}]")
    return texts

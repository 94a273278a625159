"""What callers of the Python API hand over: a module, or a function that builds one."""

from collections.abc import Callable
from typing import Any

from torch import nn

from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import PlanError, UsageError
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.entries import state_entries
from zeroinit_cli.models.filling import copy_hidden, fill, fill_parts
from zeroinit_cli.models.inputs import Example, example_given
from zeroinit_cli.models.live.held import check_matches, check_real, has_shards, held_module
from zeroinit_cli.models.planning import Types, plan_factory, plan_module
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan

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
) -> None:
    """Initialise a module in place; each of its tensors keeps its own type and device.

    Args:
        module: what is initialised. Without `build` it holds its constructor's values. Of a
            sharded one, what this rank holds; nothing is sent.
        build: builds the same module, and gives the values that only a constructor knows.
        options: what the rules depend on, but for the type.
        example_inputs: a tensor, a tuple of arguments or a dict of keywords for its forward.
        part: the module may lack tensors of the one that `build` gives.

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
        _init_alone(module, options, where, inputs, part=part)
        return
    held = held_module(module, where)
    types: Types = {name: each for name, each in held.dtypes.items() if each in FLOATS}
    built, plan = plan_factory(_checked(build), options, where, types, inputs)
    other = "build gives another module than the one to initialise"
    check_matches(held, plan, part=part, other=other)
    fill_parts({name: each.parts for name, each in held.tensors.items()}, plan)
    copy_hidden(built, held.hidden)


def _init_alone(
    module: nn.Module, options: Options, where: str, inputs: Example | None, *, part: bool
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
    entries = {entry.name: entry for entry in state_entries(module, where)}
    check_real({name: entry.tensor for name, entry in entries.items()}, where)
    types: Types = {name: each.dtype for name, each in entries.items() if each.dtype in FLOATS}
    fill(entries, plan_module(module, options, where, types, inputs))


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

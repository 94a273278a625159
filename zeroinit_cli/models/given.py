"""What callers of the Python API hand over: a module, or a function that builds one."""

from collections.abc import Callable
from typing import Any

from torch import nn

from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import PlanError, UsageError
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.filling import copy_hidden, fill
from zeroinit_cli.models.inputs import example_given
from zeroinit_cli.models.planning import Types, plan_factory, plan_module
from zeroinit_cli.models.warnings.seen import listed
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
    module: nn.Module, build: Factory | None, options: Options, example_inputs: Any = None
) -> None:
    """Initialise a module in place; each of its tensors keeps its own type and device.

    Args:
        module: what is initialised. Without `build` it holds its constructor's values.
        build: builds the same module, and gives the values that only a constructor knows.
        options: what the rules depend on, but for the type.
        example_inputs: a tensor, a tuple of arguments or a dict of keywords for its forward.

    Raises:
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the module cannot be planned, a part of it is on the meta device, its
            constructor's values are gone and there is no `build`, or that builds another module or
            ties what the module does not.
        UsageError: an override matches nothing or does not fit.
        Exception: whatever `build` raises.
    """
    if not isinstance(module, nn.Module):
        raise _no_module("module", module)
    where, inputs = type_name(module), example_given(example_inputs)
    entries = {entry.name: entry for entry in state_entries(module, where)}
    _check_real(entries, where)
    types: Types = {name: each.dtype for name, each in entries.items() if each.dtype in FLOATS}
    if build is None:
        fill(entries, plan_module(module, options, where, types, inputs))
        return
    built, plan = plan_factory(_checked(build), options, where, types, inputs)
    _check_same(entries, plan, where)
    fill(entries, plan)
    copy_hidden(built, module, entries)


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


def _check_real(entries: dict[str, Entry], where: str) -> None:
    """Refuse tensors that no value can be put into."""
    metas = [name for name, entry in entries.items() if entry.tensor.is_meta]
    if metas:
        raise PlanError(
            "tensors on the meta device, which hold no values",
            where=where,
            expected="a module on the device that it is to be used on",
            found=listed(metas),
            hint='module.to_empty(device="cpu") first, then init_ with build=lambda: Model(...)',
        )


def _check_same(entries: dict[str, Entry], plan: Plan, where: str) -> None:
    planned = {tensor.info.name: tensor.info.shape for tensor in plan.tensors}
    found = {name: entry.owned.shape for name, entry in entries.items()}
    if planned != found:
        names = sorted({name for name, _ in planned.items() ^ found.items()})
        raise PlanError(
            "build gives another module than the one to initialise",
            where=where,
            expected="the same names and shapes",
            found=f"differences in {', '.join(names)}",
        )
    _check_ties(entries, plan, where)


def _check_ties(entries: dict[str, Entry], plan: Plan, where: str) -> None:
    """Refuse a module that lost ties: trained from here, the two would part."""
    lost = [
        f"{tensor.info.name} is not {tensor.tied_to}"
        for tensor in plan.tensors
        if tensor.tied_to is not None and entries[tensor.info.name].tied_to != tensor.tied_to
    ]
    if lost:
        raise PlanError(
            "parameters that build ties are not tied",
            where=where,
            expected="one parameter under both names",
            found=listed(lost),
            hint="tie them again after to_empty(), as the constructor does: "
            "module.head.weight = module.embed.weight, or module.tie_weights()",
        )

"""What callers of the Python API hand over: a module, or a function that builds one."""

from collections.abc import Callable, Collection
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import PlanError, UsageError
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.filling import copy_hidden, fill
from zeroinit_cli.models.inputs import Inputs, Kind, example_given
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
    module: nn.Module,
    build: Factory | None,
    options: Options,
    example_inputs: Any = None,
    only: Collection[str] | None = None,
) -> None:
    """Initialise a module in place; each of its tensors keeps its own type and device.

    Args:
        module: what is initialised. Without `build` it holds its constructor's values.
        build: builds the same module, and gives the values that only a constructor knows.
        options: what the rules depend on, but for the type.
        example_inputs: a tensor, a tuple of arguments or a dict of keywords for its forward.
        only: globs over names; what matches none is not touched. None for all.

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
    names = None if only is None else _matching(entries, only)
    entries = {name: each for name, each in entries.items() if names is None or name in names}
    _check_real(entries, where)
    types: Types = {name: each.dtype for name, each in entries.items() if each.dtype in FLOATS}
    if build is None:
        fill(entries, plan_module(module, options, where, types, inputs, names))
        return
    built, plan = plan_factory(_checked(build), options, where, types, inputs, names)
    _check_same(entries, plan, where)
    fill(entries, plan)
    if names is None:
        copy_hidden(built, module, entries)


def _matching(entries: dict[str, Entry], only: Collection[str]) -> frozenset[str]:
    """The names of entries that a glob of `only` matches.

    Raises:
        UsageError: a glob matches nothing, or what it matches is tied to what none matches.
    """
    for glob in only:
        if not any(fnmatchcase(name, glob) for name in entries):
            raise UsageError("a pattern that matches no tensor", where="only", found=repr(glob))
    names = frozenset(name for name in entries if any(fnmatchcase(name, glob) for glob in only))
    torn = sorted(
        f"{name} is {each.tied_to}"
        for name, each in entries.items()
        if each.tied_to is not None and (name in names) != (each.tied_to in names)
    )
    if torn:
        raise UsageError(
            "a part of tied tensors, which would change the other",
            where="only",
            expected="patterns that match both names, or neither",
            found=listed(torn),
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

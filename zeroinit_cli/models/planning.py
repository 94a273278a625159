"""A built module -> its plan."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import nn

from zeroinit_cli.dtypes import FLOATS, DType
from zeroinit_cli.errors import NoRuleError
from zeroinit_cli.models.building import Factory, build
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.constants import (
    HOW_TO_BUILD,
    OneModule,
    Witness,
    check_holds_values,
    two_builds,
    unproven,
)
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.inputs import Example, Inputs, examples_of, inputs_of
from zeroinit_cli.models.kinds import Constructed, Ruled, kind_of
from zeroinit_cli.models.overrides import overridden, override_kind
from zeroinit_cli.models.registry import source_factory
from zeroinit_cli.models.structure import Structure, find_structure
from zeroinit_cli.models.warnings import find_warnings
from zeroinit_cli.options import OVERRIDE_RULES, Options
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rounding import stored_bytes
from zeroinit_cli.plans.rules import Kept, Zeros
from zeroinit_cli.source import Source

Types = Mapping[str, DType]
"""Types to store tensors in, by name; what is not named is stored as the options say."""

_SEEDS = (0, 1)
_KEPT = "kept as constructed"
_PLATFORM = f"{_KEPT}; platform-dependent, from transcendental functions"


def plan_source(source: Source, options: Options) -> Plan:
    """Every tensor of the source's state dict and its rule.

    Raises:
        SourceError: the source cannot be built.
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        UsageError: an override matches nothing or does not fit.
    """
    factory = source_factory(source)
    return plan_factory(factory, options, str(source), inputs=inputs_of(source))[1]


def plan_factory(
    factory: Factory,
    options: Options,
    where: str,
    types: Types | None = None,
    inputs: Inputs | Example | None = None,
) -> tuple[nn.Module, Plan]:
    """A module, without its large weights, and every tensor of its state dict with its rule.

    Args:
        factory: builds the module; is called several times.
        options: what the rules depend on.
        where: what messages call the module.
        types: of some tensors, where the options do not decide.
        inputs: what the module is fed; guessed from its first layers if not given.

    Raises:
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        UsageError: an override matches nothing or does not fit.
        Exception: whatever the factory raises.
    """
    # an override may ask for a value that no rule of the policy ever looks at
    real = any(override.rule == "kept" for override in options.overrides)
    first, second = (build(factory, seed, real_weights=real) for seed in _SEEDS)
    entries = state_entries(first, where)
    witness = two_builds(entries, state_entries(second, where), factory, _SEEDS[0], where)
    return first, _plan_entries(first, entries, witness, options, where, types or {}, inputs)


def plan_module(
    module: nn.Module,
    options: Options,
    where: str,
    types: Types | None = None,
    inputs: Example | None = None,
) -> Plan:
    """Every tensor of a module's state dict and its rule, the module as it is being the witness.

    Args:
        module: as its constructor left it; nothing in it is changed.
        options: what the rules depend on.
        where: what messages call the module.
        types: of some tensors, where the options do not decide.
        inputs: what the module is fed; guessed from its first layers if not given.

    Raises:
        NoRuleError: some tensors may be random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot, or the constructor's values are
            gone.
        UsageError: an override matches nothing or does not fit.
    """
    entries = state_entries(module, where)
    return _plan_entries(module, entries, OneModule(), options, where, types or {}, inputs)


def _plan_entries(
    module: nn.Module,
    entries: list[Entry],
    witness: Witness,
    options: Options,
    where: str,
    types: Types,
    inputs: Inputs | Example | None = None,
) -> Plan:
    # a device that a caller has made the default must not reach what a forward computes
    with torch.device("cpu"):
        structure = find_structure(module, options.residual, _examples(inputs, module))
    kinds = _kinds(entries, structure, options)
    if isinstance(witness, OneModule):
        asked = (entry for entry, kind in kinds if isinstance(kind, Constructed))
        check_holds_values(module, asked, where)
    ruled, kept = _decided(kinds, witness, where)
    values: dict[str, bytes] = {}
    platform = witness.platform_dependent(entry for entry, _ in kept)
    ruled += [
        (entry, _keep(entry, kind, _stored_type(entry, options, types), values, platform))
        for entry, kind in kept
    ]
    plan = Plan(
        tensors=tuple(
            _planned(entry, kind, _stored_type(entry, options, types)) for entry, kind in ruled
        ),
        kept=dict(sorted(values.items())),
        adds=tuple((f"{add.place}: {add.name}", add.kind.value) for add in structure.adds),
    )
    warnings = find_warnings(plan, module, structure, options)
    if isinstance(witness, OneModule):
        warnings += unproven(plan, kinds)
    return replace(plan, warnings=warnings)


def _examples(inputs: Inputs | Example | None, module: nn.Module) -> Iterable[Example] | None:
    if isinstance(inputs, Inputs):
        return examples_of(inputs, module)
    return None if inputs is None else [inputs]


def _kinds(
    entries: list[Entry], structure: Structure, options: Options
) -> list[tuple[Entry, Ruled | Constructed]]:
    """The kind of each entry, by its override or by the policy."""
    chosen = overridden([(entry.name, entry.first_name) for entry in entries], options)
    return [
        (
            entry,
            override_kind(entry.owned, override, entry.name, options)
            if (override := chosen.get(entry.first_name)) is not None
            else kind_of(entry.owned, structure, options),
        )
        for entry in entries
    ]


def _decided(
    kinds: list[tuple[Entry, Ruled | Constructed]], witness: Witness, where: str
) -> tuple[list[tuple[Entry, Ruled]], list[tuple[Entry, Constructed]]]:
    """Entries with their rules, and those that keep what the constructor set."""
    ruled: list[tuple[Entry, Ruled]] = []
    kept: list[tuple[Entry, Constructed]] = []
    unruled: list[Entry] = []
    for entry, kind in kinds:
        if isinstance(kind, Ruled):
            ruled.append((entry, kind))
        elif witness.is_constant(entry, kind):
            kept.append((entry, kind))
        elif kind.if_random is not None:
            ruled.append((entry, kind.if_random))
        else:
            unruled.append(entry)
    if unruled:
        raise _no_rule(unruled, where, alone=isinstance(witness, OneModule))
    return ruled, kept


def _planned(entry: Entry, kind: Ruled, dtype: DType) -> PlannedTensor:
    return PlannedTensor(
        info=TensorInfo(name=entry.name, shape=tuple(entry.tensor.shape), dtype=dtype),
        rule=kind.rule,
        reason=kind.reason,
        module_type=type_name(entry.owned.owner),
        tied_to=entry.tied_to,
        position=entry.position,
    )


def _stored_type(entry: Entry, options: Options, types: Types) -> DType:
    own = entry.dtype
    return types.get(entry.name, options.dtype if own in FLOATS else own)


def _keep(
    entry: Entry,
    kind: Constructed,
    dtype: DType,
    values: dict[str, bytes],
    platform: frozenset[str],
) -> Ruled:
    """The rule of a kept tensor, its value put into `values`; one that is all 0 needs none."""
    tensor = entry.tensor.cpu()
    array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).contiguous().numpy()
    data = stored_bytes(array, dtype)
    if not any(data):
        expected = kind.if_random
        alike = expected is not None and expected.rule == Zeros()
        return expected if expected and alike else Ruled(rule=Zeros(), reason=_KEPT)
    sha256 = hashlib.sha256(data).hexdigest()
    values[sha256] = data
    return Ruled(rule=Kept(sha256=sha256), reason=_PLATFORM if entry.name in platform else _KEPT)


def _no_rule(entries: list[Entry], where: str, *, alone: bool) -> NoRuleError:
    first = entries[0]
    override = f"--override '{first.name}=zeros' names a rule: {', '.join(OVERRIDE_RULES)}"
    return NoRuleError(
        f"{len(entries)} random tensor{'s have' if len(entries) > 1 else ' has'} no rule",
        where=where,
        expected="a kind of tensor that the policy knows; none is guessed",
        found=", ".join(
            f"{entry.name} {list(entry.tensor.shape)} of {type_name(entry.owned.owner)}"
            for entry in entries
        ),
        hint=f"{HOW_TO_BUILD} tells constants from random draws; {override}" if alone else override,
    )

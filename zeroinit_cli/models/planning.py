"""A built module -> its plan."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice

from torch import nn

from zeroinit_cli.dtypes import FLOATS, DType
from zeroinit_cli.errors import NoRuleError, PlanError
from zeroinit_cli.models.building import Factory, build_noted, on_cpu
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.constants import (
    HOW_TO_BUILD,
    OneModule,
    Witness,
    check_holds_values,
    is_off_zero,
    unproven,
)
from zeroinit_cli.models.entries import Entry, state_entries
from zeroinit_cli.models.guesses import guesses
from zeroinit_cli.models.inputs import Example, Inputs, examples_of
from zeroinit_cli.models.inputs import Kind as InputKind
from zeroinit_cli.models.kept import hold, is_meant, keep
from zeroinit_cli.models.kinds import kind_of, use_of
from zeroinit_cli.models.meant import SEEDS, check_same_tensors, find_meant
from zeroinit_cli.models.overrides import overridden, override_kind
from zeroinit_cli.models.owned import Constructed, Kind, Ruled
from zeroinit_cli.models.structure import Structure, find_structure
from zeroinit_cli.models.uses import UseKind
from zeroinit_cli.models.warnings import find_warnings
from zeroinit_cli.options import OVERRIDE_RULES, Options
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rules import Zeros
from zeroinit_cli.source import Source

Types = Mapping[str, DType]
"""Types to store tensors in, by name; what is not named is stored as the options say."""

Kinds = list[tuple[Entry, Kind]]

Doubtful = tuple[Entry, Ruled | None]

_INPUT = "--input [NAME=]TYPE[SIZES]"  # what the command line has for `example_inputs`
_MOST_GUESSES = 50  # where the examples of a source do not go through; there may be millions
_SHIFTS = (UseKind.BIAS, UseKind.NORM_SHIFT)
_SPACED = "evenly spaced over what its constructor draws from"


def plan_source(source: Source, options: Options) -> Plan:
    """Every tensor of the source's state dict and its rule.

    Raises:
        SourceError: the source cannot be built.
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        UsageError: an override matches nothing or does not fit.
    """
    factory, inputs = source.factory(), source.example_inputs()
    try:
        _, plan = plan_factory(factory, options, str(source), inputs=inputs)
    except PlanError as error:
        error.problem = error.problem.replace("example_inputs", "--input")
        raise
    warnings = (
        replace(each, hint=each.hint and each.hint.replace("example_inputs=...", _INPUT))
        for each in plan.warnings
    )
    return replace(plan, warnings=tuple(warnings))


def plan_factory(
    factory: Factory,
    options: Options,
    where: str,
    types: Types | None = None,
    inputs: Inputs | Example | None = None,
    only: frozenset[str] | None = None,
) -> tuple[nn.Module, Plan]:
    """A module, without its large weights, and every tensor of its state dict with its rule.

    Args:
        factory: builds the module; is called several times.
        options: what the rules depend on.
        where: what messages call the module.
        types: of some tensors, where the options do not decide.
        inputs: what the module is fed; guessed from its first layers if not given.
        only: names of the tensors to plan; None for all.

    Raises:
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        UsageError: an override matches nothing or does not fit.
        Exception: whatever the factory raises.
    """
    built = build_noted(factory, SEEDS[0])
    entries = state_entries(built.module, where)
    if built.has_drawn:
        check_same_tensors(entries, build_noted(factory, SEEDS[1]).module, where)

    def witness(kinds: Kinds) -> Witness:
        return find_meant(built, kinds, factory, where)

    entries = _only(entries, only)
    plan = _plan_entries(built.module, entries, witness, options, where, types or {}, inputs)
    return built.module, plan


def plan_module(
    module: nn.Module,
    options: Options,
    where: str,
    types: Types | None = None,
    inputs: Example | None = None,
    only: frozenset[str] | None = None,
) -> Plan:
    """Every tensor of a module's state dict and its rule, the module as it is being the witness.

    Args:
        module: as its constructor left it; nothing in it is changed.
        options: what the rules depend on.
        where: what messages call the module.
        types: of some tensors, where the options do not decide.
        inputs: what the module is fed; guessed from its first layers if not given.
        only: names of the tensors to plan; None for all.

    Raises:
        NoRuleError: some tensors may be random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot, or the constructor's values are
            gone.
        UsageError: an override matches nothing or does not fit.
    """
    entries = _only(state_entries(module, where), only)

    def witness(kinds: Kinds) -> Witness:
        check_holds_values(module, kinds, where)
        return OneModule()

    return _plan_entries(module, entries, witness, options, where, types or {}, inputs)


def _only(entries: list[Entry], names: frozenset[str] | None) -> list[Entry]:
    return [entry for entry in entries if names is None or entry.name in names]


def _plan_entries(
    module: nn.Module,
    entries: list[Entry],
    witness_of: Callable[[Kinds], Witness],
    options: Options,
    where: str,
    types: Types,
    inputs: Inputs | Example | None = None,
) -> Plan:
    # a device that a caller has made the default must not reach what a forward computes
    with on_cpu():
        structure = find_structure(module, options.policy.ending, _examples(inputs, module))
    kinds = _kinds(entries, structure, options)
    witness = witness_of(kinds)
    ruled, kept, doubtful = _decided(kinds, witness, structure)
    values: dict[str, bytes] = {}
    ruled += [
        (entry, keep(entry, kind, witness, _stored_type(entry, options, types), values))
        for entry, kind in kept
    ]
    spaced = witness.spaced([entry for entry, _ in doubtful]) if doubtful else {}
    ruled += [
        (entry, hold(spaced[entry.name], _SPACED, _stored_type(entry, options, types), values))
        for entry, _ in doubtful
        if entry.name in spaced
    ]
    ruled += _around_zero([pair for pair in doubtful if pair[0].name not in spaced], witness, where)
    plan = Plan(
        tensors=tuple(
            _planned(entry, kind, _stored_type(entry, options, types)) for entry, kind in ruled
        ),
        kept=dict(sorted(values.items())),
        adds=tuple((f"{add.place}: {add.name}", add.kind.value) for add in structure.adds),
    )
    warnings = find_warnings(plan, module, structure, options)
    if witness.is_alone:
        warnings += unproven(plan, kinds)
    return replace(plan, warnings=warnings)


def _examples(
    inputs: Inputs | Example | None, module: nn.Module
) -> Iterable[Example] | Example | None:
    if not isinstance(inputs, Inputs):
        return inputs
    if inputs.kind is not InputKind.EXAMPLES:
        return examples_of(inputs, module)
    if inputs.is_given or not inputs.examples:
        return inputs.examples[0] if inputs.examples else None
    return chain(inputs.examples, islice(guesses(module), _MOST_GUESSES))


def _kinds(entries: list[Entry], structure: Structure, options: Options) -> Kinds:
    """The kind of each entry, by its override or by the policy."""
    chosen = overridden([(entry.name, entry.first_name) for entry in entries], options)
    return [
        (
            entry,
            override_kind(entry.owned, override, entry.name, structure, options.policy)
            if (override := chosen.get(entry.first_name)) is not None
            else kind_of(entry.owned, structure, options.policy),
        )
        for entry in entries
    ]


def _decided(
    kinds: Kinds, witness: Witness, structure: Structure
) -> tuple[list[tuple[Entry, Ruled]], list[tuple[Entry, Constructed]], list[Doubtful]]:
    """Entries with their rules, those that keep what the constructor set, and draws without one.

    With a rule that holds around 0 alone, there is one and there is none.
    """
    ruled: list[tuple[Entry, Ruled]] = []
    kept: list[tuple[Entry, Constructed]] = []
    doubtful: list[Doubtful] = []
    for entry, kind in kinds:
        if isinstance(kind, Ruled):
            ruled.append((entry, kind))
        elif witness.is_constant(entry, kind):
            if kind.if_random is not None and not is_meant(witness.value(entry), kind):
                ruled.append((entry, kind.if_random))
            else:
                kept.append((entry, kind))
        elif kind.if_random is None or _may_be_lost(entry, kind.if_random, witness, structure):
            doubtful.append((entry, kind.if_random))
        else:
            ruled.append((entry, kind.if_random))
    return ruled, kept, doubtful


def _around_zero(
    doubtful: list[Doubtful], witness: Witness, where: str
) -> Iterator[tuple[Entry, Ruled]]:
    """Draws by the rule that they have around 0.

    Raises:
        NoRuleError: one has none, or is not around 0.
    """
    unruled = [
        entry for entry, ruled in doubtful if ruled is None or is_off_zero(entry, surely=True)
    ]
    if unruled:
        raise _no_rule(unruled, where, alone=witness.is_alone)
    return ((entry, ruled) for entry, ruled in doubtful if ruled is not None)


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


def _may_be_lost(entry: Entry, ruled: Ruled, witness: Witness, structure: Structure) -> bool:
    """Whether a rule may make another model of a draw, as 0 does of a bias that is not around 0.

    Tables and tokens are 0 whatever they are drawn from.
    """
    use = use_of(entry.owned, structure)
    if ruled.rule != Zeros() or (use is not None and use.kind not in _SHIFTS):
        return False
    return witness.is_shifted(entry) or is_off_zero(entry, surely=True)


def _no_rule(entries: list[Entry], where: str, *, alone: bool) -> NoRuleError:
    first = entries[0]
    override = f"--override '{first.name}=zeros' names a rule: {', '.join(OVERRIDE_RULES)}"
    return NoRuleError(
        f"{len(entries)} random tensor{'s have' if len(entries) > 1 else ' has'} no rule",
        where=where,
        expected="a kind of tensor that the policy knows; none is guessed",
        found=", ".join(map(_description, entries)),
        hint=f"{HOW_TO_BUILD} tells constants from random draws; {override}" if alone else override,
    )


def _description(entry: Entry) -> str:
    text = f"{entry.name} {list(entry.tensor.shape)} of {type_name(entry.owned.owner)}"
    if not is_off_zero(entry, surely=True):
        return text
    return f"{text} around {float(entry.tensor.mean()):.2g}"

"""A built module -> its plan."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from zeroinit_cli.architectures.building import Factory
from zeroinit_cli.architectures.cautions import find_cautions
from zeroinit_cli.architectures.classes import type_name
from zeroinit_cli.architectures.kinds import Constructed, Owned, Ruled, kind_of
from zeroinit_cli.architectures.overrides import overridden, override_kind
from zeroinit_cli.architectures.provenance import transcendental_names
from zeroinit_cli.architectures.registry import build_source, source_factory
from zeroinit_cli.architectures.structure import Structure, find_structure
from zeroinit_cli.dtypes import BY_NAME, FLOATS, INTEGERS, DType
from zeroinit_cli.errors import NoRuleError, PlanError
from zeroinit_cli.options import OVERRIDE_RULES, Options
from zeroinit_cli.plans import Kept, Plan, PlannedTensor, TensorInfo, Zeros
from zeroinit_cli.rounding import stored_bytes
from zeroinit_cli.source import Source

_SEEDS = (0, 1)
_KEPT = "kept as constructed"
_PLATFORM = f"{_KEPT}; platform-dependent, from transcendental functions"


def plan_source(source: Source, options: Options) -> Plan:
    """Every tensor of the source's state dict and its rule.

    Raises:
        SourceError: the source cannot be built.
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
    """
    factory = source_factory(source)
    first, second = (build_source(source, factory, seed) for seed in _SEEDS)
    return plan_modules(first, second, factory, options, str(source))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One name of the state dict.

    Attributes:
        name: in the state dict.
        owned: the tensor, with the module that registered it under its first name.
        tied_to: that first name, if this is a later one.
    """

    name: str
    owned: Owned
    tied_to: str | None

    @property
    def tensor(self) -> torch.Tensor:
        return self.owned.tensor

    @property
    def first_name(self) -> str:
        return self.tied_to or self.name


def plan_modules(
    module: nn.Module, other: nn.Module, factory: Factory, options: Options, where: str
) -> Plan:
    """Every tensor of a module's state dict and its rule.

    Args:
        module: built under one seed.
        other: built by the same factory under another.
        factory: builds it once more, where the origin of a kept value is asked for.
        options: what the rules depend on.
        where: what messages call the module.

    Raises:
        NoRuleError: some tensors are random and no rule covers them.
        PlanError: the state dict holds what a checkpoint cannot.
        UsageError: an override matches nothing or does not fit.
    """
    entries = list(_entries(module, where))
    others = {entry.name: entry.tensor for entry in _entries(other, where)}
    if {(entry.name, entry.tensor.shape) for entry in entries} != {
        (name, tensor.shape) for name, tensor in others.items()
    }:
        raise PlanError("two builds gave different tensors: the constructor is random", where=where)
    same = {each.name for each in entries if _same_bits(each.tensor, others[each.name])}
    structure = find_structure(module, options.residual)
    ruled, kept = _rule_all(entries, same, structure, options, where)
    values: dict[str, bytes] = {}
    platform = _platform_dependent([entry for entry, _ in kept], factory)
    tensors = [_planned(entry, kind, options) for entry, kind in ruled]
    tensors += [
        _planned(entry, _keep(entry, kind, options, values, platform), options)
        for entry, kind in kept
    ]
    plan = Plan(
        tensors=tuple(tensors),
        kept=dict(sorted(values.items())),
        adds=tuple((f"{add.place}: {add.name}", add.kind.value) for add in structure.adds),
    )
    return replace(plan, cautions=find_cautions(plan, module, structure, options))


def _rule_all(
    entries: list[_Entry], same: set[str], structure: Structure, options: Options, where: str
) -> tuple[list[tuple[_Entry, Ruled]], list[tuple[_Entry, Constructed]]]:
    """Entries with their rules, and those that keep what the constructor set."""
    ruled: list[tuple[_Entry, Ruled]] = []
    kept: list[tuple[_Entry, Constructed]] = []
    unruled: list[_Entry] = []
    chosen = overridden([(entry.name, entry.first_name) for entry in entries], options)
    for entry in entries:
        override = chosen.get(entry.first_name)
        kind = (
            override_kind(entry.owned, override, entry.name, options)
            if override is not None
            else kind_of(entry.owned, structure, options)
        )
        if isinstance(kind, Ruled):
            ruled.append((entry, kind))
        elif entry.name in same:
            kept.append((entry, kind))
        elif kind.if_random is not None:
            ruled.append((entry, kind.if_random))
        else:
            unruled.append(entry)
    if unruled:
        raise _no_rule(unruled, where)
    return ruled, kept


def _entries(module: nn.Module, where: str) -> Iterator[_Entry]:
    """The state dict, each tensor with its owner and the first name it has."""
    owners: dict[str, tuple[str, nn.Module, str]] = {}
    first_names: dict[int, str] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for attribute, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is not None:
                name = f"{prefix}.{attribute}" if prefix else attribute
                owners[name] = prefix, owner, attribute
                first_names.setdefault(id(tensor), name)
    for name, tensor in module.state_dict(keep_vars=True).items():
        place = f"{where}: {name}"
        if not isinstance(tensor, torch.Tensor) or name not in owners:
            raise PlanError(
                "a state dict entry that is no parameter or buffer",
                where=place,
                found=type(tensor).__name__,
            )
        if tensor.layout is not torch.strided or isinstance(tensor, nn.UninitializedParameter):
            raise PlanError(
                "a tensor without plain storage", where=place, found=type(tensor).__name__
            )
        first = first_names[id(tensor)]
        path, owner, attribute = owners[first]
        yield _Entry(
            name=name,
            owned=Owned(
                root=module,
                path=path,
                owner=owner,
                attribute=attribute,
                tensor=tensor.detach(),
            ),
            tied_to=None if first == name else first,
        )


def _planned(entry: _Entry, kind: Ruled, options: Options) -> PlannedTensor:
    return PlannedTensor(
        info=TensorInfo(
            name=entry.name,
            shape=tuple(entry.tensor.shape),
            dtype=_stored_type(entry, options),
        ),
        rule=kind.rule,
        reason=kind.reason,
        module_type=type_name(entry.owned.owner),
        tied_to=entry.tied_to,
    )


def _stored_type(entry: _Entry, options: Options) -> DType:
    dtype = BY_NAME.get(str(entry.tensor.dtype).removeprefix("torch."))
    if dtype in FLOATS:
        return options.dtype
    if dtype not in INTEGERS or dtype is None:
        raise PlanError(
            "a tensor type that no rule covers",
            where=entry.name,
            expected=", ".join(known.name for known in (*FLOATS, *INTEGERS)),
            found=str(entry.tensor.dtype).removeprefix("torch."),
        )
    return dtype


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal as bytes, so that a NaN equals itself and 0 is not -0."""
    if one.is_meta or other.is_meta or one.dtype != other.dtype:
        return False
    return torch.equal(_raw(one), _raw(other))


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _platform_dependent(kept: list[_Entry], factory: Factory) -> frozenset[str]:
    """Asked only where floats other than 0 are kept: it costs another build."""
    if any(entry.tensor.is_floating_point() and entry.tensor.any() for entry in kept):
        return transcendental_names(factory, _SEEDS[0])
    return frozenset()


def _keep(
    entry: _Entry,
    kind: Constructed,
    options: Options,
    values: dict[str, bytes],
    platform: frozenset[str],
) -> Ruled:
    """The rule of a kept tensor, its value put into `values`; one that is all 0 needs none."""
    tensor = entry.tensor.float() if entry.tensor.dtype is torch.bfloat16 else entry.tensor
    data = stored_bytes(tensor.contiguous().numpy(), _stored_type(entry, options))
    if not any(data):
        expected = kind.if_random
        alike = expected is not None and expected.rule == Zeros()
        return expected if expected and alike else Ruled(rule=Zeros(), reason=_KEPT)
    sha256 = hashlib.sha256(data).hexdigest()
    values[sha256] = data
    return Ruled(rule=Kept(sha256=sha256), reason=_PLATFORM if entry.name in platform else _KEPT)


def _no_rule(entries: list[_Entry], where: str) -> NoRuleError:
    first = entries[0]
    return NoRuleError(
        f"{len(entries)} random tensor{'s have' if len(entries) > 1 else ' has'} no rule",
        where=where,
        expected="a kind of tensor that the policy knows; none is guessed",
        found=", ".join(
            f"{entry.name} {list(entry.tensor.shape)} of {type_name(entry.owned.owner)}"
            for entry in entries
        ),
        hint=f"--override '{first.name}=zeros' names a rule: {', '.join(OVERRIDE_RULES)}",
    )

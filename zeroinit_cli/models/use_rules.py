"""The rule of a random tensor by what it is used for."""

import math

from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.owned import Owned, Ruled
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.plans import parametrizations
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.layouts import Transposed, Viewed
from zeroinit_cli.plans.rules import Ones, Rule, Zeros
from zeroinit_cli.policies import Policy

_NORM_ENTRIES: dict[UseKind, tuple[Rule, str]] = {
    UseKind.NORM_SCALE: (Ones(), "scale 1"),
    UseKind.NORM_SHIFT: (Zeros(), "shift 0"),
    UseKind.MEAN: (Zeros(), "running mean 0"),
    UseKind.VARIANCE: (Ones(), "running variance 1"),
    UseKind.COUNTER: (Zeros(), "counter 0"),
    UseKind.BIAS: (Zeros(), "bias 0"),
}
_EMPTY = {
    UseKind.LESSER_POSITIONS: UseKind.LESSER_POSITIONS.value,
    UseKind.RELATIVE: "relative-position table",
    UseKind.SEGMENTS: UseKind.SEGMENTS.value,
    UseKind.TOKEN: "class token",
    UseKind.DOT: UseKind.DOT.value,
}


def rule_of_use(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled | None:
    """The rule of a random draw that is used so; None where none is known."""
    shape, name = owned.shape, type_name(owned.owner)
    kind = structure.tables.get(owned.name, use.kind) if use.kind is UseKind.TABLE else use.kind
    if kind in _NORM_ENTRIES:
        rule, phrase = _NORM_ENTRIES[kind]
        if use.plus_one:
            return Ruled(rule=Zeros(), reason=f"{name}: {phrase}, stored less 1")
        return Ruled(rule=rule, reason=f"{name}: {phrase}")
    if owned.name in structure.normed_alone and shape:
        rule = parametrizations.unit_vectors(shape)
        return Ruled(rule=rule, reason="token that a norm sees alone: the last unit vector")
    if kind in _EMPTY:
        return Ruled(rule=Zeros(), reason=f"{_EMPTY[kind]}: 0")
    match kind:
        case UseKind.LINEAR:
            return _linear(owned, use, structure, policy)
        case UseKind.STACK:
            rule = rules.stack_of_linear(shape, policy, parts=use.parts, transposed=use.transposed)
            return Ruled(rule=rule, reason="stack of linear maps: Algorithm 1 in each")
        case UseKind.INPUT_GATES:
            rule = rules.recurrent_input(shape, use.parts, policy)
            return Ruled(rule=rule, reason=f"{name}: Algorithm 1 in each gate")
        case UseKind.STATE_GATES:
            rule = rules.recurrent_state(shape, use.parts, policy)
            is_square = shape[0] == shape[1] * use.parts
            how = "the state, twisted" if is_square else "Algorithm 1 in each gate of the state"
            return Ruled(rule=rule, reason=f"{name}: {how}")
        case UseKind.STATE_PROJECTION:
            return Ruled(rule=rules.linear(shape, policy), reason=f"{name}: Algorithm 1")
        case UseKind.BILINEAR:
            rule = rules.bilinear(shape, policy)
            return Ruled(rule=rule, reason=f"{name}: Algorithm 1 on pairs")
        case UseKind.CONVOLUTION | UseKind.TRANSPOSED_CONVOLUTION:
            return _convolution(owned, use, structure, policy)
        case UseKind.TABLE:
            return _table(owned, use, structure, policy)
        case UseKind.POSITIONS if use.transposed:
            dim = next(size for size in shape if size > 1)
            rule = Transposed(of=rules.position_table((math.prod(shape) // dim, dim), policy))
            rule = rule if len(shape) == 2 else Viewed(rows=dim, of=rule)
            return Ruled(rule=rule, reason=f"{kind.value}: mirrored, stored transposed")
        case UseKind.POSITIONS if len(shape) > 1:
            beside = _beside(shape[-1], structure)
            rule = rules.position_table(shape, policy, beside=beside)
            return Ruled(rule=rule, reason=f"{kind.value}: mirrored")
    return None


def _in_chain(owned: Owned, structure: Structure, policy: Policy) -> Policy:
    """The choices for a map: those for chains, if it stands in one."""
    followed = structure.chains.get(owned.name)
    if followed is None or owned.name in structure.projections:
        return policy
    return policy.in_chain(followed=followed)


def _linear(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled | None:
    """A matrix, in either layout; of several parts, each part by itself."""
    by = _in_chain(owned, structure, policy)
    chain = " in a chain" if by is not policy else ""
    matrix = use.matrix(owned.shape)
    if matrix is None:
        return None
    fan_out, fan_in = matrix[::-1] if use.transposed else matrix
    reason = f"{type_name(owned.owner)}{chain}: Algorithm 1"
    rule = rules.linear((fan_out, fan_in), by)
    if use.parts > 1 and fan_out % use.parts == 0:
        rule = rules.fused_linear((fan_out, fan_in), use.parts, by)
        reason = f"{use.parts} fused projections{chain}: Algorithm 1 in each"
    if use.transposed:
        rule, reason = Transposed(of=rule), f"{reason}, stored transposed"
    return Ruled(rule=stored(rule, matrix, owned), reason=reason)


def stored(rule: Rule, matrix: tuple[int, int], owned: Owned) -> Rule:
    """The rule of a matrix as that of the tensor that holds it."""
    return rule if len(owned.shape) == len(matrix) else Viewed(rows=matrix[0], of=rule)


def _beside(dim: int, structure: Structure) -> tuple[int, ...] | None:
    """The shape of the largest token table of a dim that is a head as well."""
    shapes = (shape for shape in structure.tied_tables.values() if shape[-1] == dim)
    return max(shapes, default=None)


def _table(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled:
    is_tied = owned.name in structure.tied_tables
    rule = rules.embedding(owned.shape, use.padding_idx, policy, is_tied=is_tied)
    if is_tied or policy.tables != "signs":
        phrase = "embedding table that is the head, too" if is_tied else "embedding table"
        return Ruled(rule=rule, reason=f"{phrase}: Algorithm 1")
    return Ruled(rule=rule, reason="embedding table: mirrored signs")


def _convolution(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled | None:
    shape, geometry, name = owned.shape, use.geometry, type_name(owned.owner)
    fits = geometry is not None and len(shape) == len(geometry.stride) + 2
    if geometry is None or not fits or shape[0] % geometry.groups:
        return None
    groups, is_stem = geometry.groups, owned.name in structure.stems
    by = _in_chain(owned, structure, policy)
    chain = " in a chain" if by is not policy else ""
    if use.kind is UseKind.TRANSPOSED_CONVOLUTION:
        rule = rules.transposed_convolution(shape, geometry, policy)
        return Ruled(rule=rule, reason=f"{name}: nearest-neighbour upsampling")
    layer, where = (f"grouped {name}", " in each") if groups > 1 else (name, "")
    if _is_patch(geometry, shape) and is_stem:
        rule, reason = rules.patch_stem(shape, by), f"{name}: patches of the input"
    elif _is_patch(geometry, shape):
        rule, reason = rules.patch_convolution(shape, by), f"{name}: Algorithm 1 on patches"
    elif groups == 1 and is_stem:
        rule = rules.stem_convolution(shape, by)
        reason = f"{name} of the input: Algorithm 1 on its kernel"
        if by.stems == "means":
            reason = f"{name} of the input{chain}: signed means"
    else:
        rule = rules.convolution(shape, groups, by)
        reason = f"{layer}: Algorithm 1{where}, around the centre"
    if rule == rules.algorithm_2(shape, groups, by):
        number = 1 if math.prod(shape[2:]) == 1 else 2  # of one tap they are the same
        reason = f"{layer}{chain}: Algorithm {number}{where}"
    return Ruled(rule=rule, reason=reason)


def _is_patch(geometry: rules.Geometry, shape: tuple[int, ...]) -> bool:
    """Whether a convolution cuts its input into patches: stride = kernel, nothing else."""
    kernel = shape[2:]
    plain = geometry.groups == 1 and not any(geometry.padding) and max(geometry.dilation) == 1
    return plain and geometry.stride == kernel and math.prod(kernel) > 1
